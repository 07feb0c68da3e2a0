"""How good a model is, how sure that is, and what it costs."""

from limbeck.measure.calibration import Bin, ExpectedCalibrationError, reliability
from limbeck.measure.cost import Latency, flops, latency, parameters, throughput
from limbeck.measure.evaluate import evaluate
from limbeck.measure.evaluation import Comparison, Evaluation, ModelEvaluation
from limbeck.measure.fidelity import TeacherAgreement, TeacherKL
from limbeck.measure.intervals import Interval, Resamples, interval
from limbeck.measure.masked_words import (
    MaskedAccuracy,
    MaskedAgreement,
    MaskedCrossEntropy,
    MaskedPerplexity,
    MaskedWordScoring,
    answers,
)
from limbeck.measure.metrics import (
    Accuracy,
    BrierScore,
    MacroF1,
    Metric,
    MicroF1,
    NegativeLogLikelihood,
    SubsetAccuracy,
    Top5Accuracy,
)
from limbeck.measure.multi_label import MULTI_LABEL_METRICS, MultiLabel
from limbeck.measure.scoring import Scoring, main_score
from limbeck.measure.single_label import CLASSIFICATION_METRICS, SingleLabel
from limbeck.measure.tagging import EntityF1, Tagging
from limbeck.measure.verdict import verdict

__all__ = [
    "CLASSIFICATION_METRICS",
    "MULTI_LABEL_METRICS",
    "Accuracy",
    "Bin",
    "BrierScore",
    "Comparison",
    "EntityF1",
    "Evaluation",
    "ExpectedCalibrationError",
    "Interval",
    "Latency",
    "MacroF1",
    "MaskedAccuracy",
    "MaskedAgreement",
    "MaskedCrossEntropy",
    "MaskedPerplexity",
    "MaskedWordScoring",
    "Metric",
    "MicroF1",
    "ModelEvaluation",
    "MultiLabel",
    "NegativeLogLikelihood",
    "Resamples",
    "Scoring",
    "SingleLabel",
    "SubsetAccuracy",
    "Tagging",
    "TeacherAgreement",
    "TeacherKL",
    "Top5Accuracy",
    "answers",
    "evaluate",
    "flops",
    "interval",
    "latency",
    "main_score",
    "parameters",
    "reliability",
    "throughput",
    "verdict",
]
