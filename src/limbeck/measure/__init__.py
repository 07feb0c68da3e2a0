"""How good a model is, how sure that is, and what it costs."""

from limbeck.measure.accumulator import Accumulator, Score, main_score
from limbeck.measure.calibration import Bin, ExpectedCalibrationError, Reliability, reliability
from limbeck.measure.class_scorings import multi_label_scoring, single_label_scoring
from limbeck.measure.classification import (
    Accuracy,
    BrierScore,
    MacroF1,
    MicroF1,
    NegativeLogLikelihood,
    SubsetAccuracy,
    Top5Accuracy,
)
from limbeck.measure.cost import Latency, flops, latency, parameters, throughput
from limbeck.measure.derived import Derived, final_average, forgetting
from limbeck.measure.evaluate import evaluate
from limbeck.measure.evaluation import Comparison, Evaluation, ModelEvaluation
from limbeck.measure.evaluator import Evaluator
from limbeck.measure.fidelity import TeacherAgreement, TeacherKL
from limbeck.measure.intervals import Interval, Resamples, interval
from limbeck.measure.masked_tokens import (
    MaskedAccuracy,
    MaskedAgreement,
    MaskedCrossEntropy,
    MaskedPerplexity,
    masked_token_outputs,
    masked_token_scoring,
)
from limbeck.measure.metric import (
    Floats,
    Integers,
    Labels,
    Metric,
    MetricInfo,
    OfMeans,
    Outputs,
    RowMean,
    metric_metadata,
)
from limbeck.measure.quantiles import PinballLoss, QuantileCalibrationError, QuantileCoverage
from limbeck.measure.ranking import AUROC, AveragePrecision
from limbeck.measure.regression import MAE, R2, RMSE, TargetErrors, TeacherRMSE
from limbeck.measure.regression_scoring import regression_scoring
from limbeck.measure.scoring import ClassScoring, Scoring
from limbeck.measure.tables import Confusion, Table
from limbeck.measure.token_labels import EntityF1, OverTokens, token_scoring
from limbeck.measure.verdict import verdict

__all__ = [
    "AUROC",
    "MAE",
    "R2",
    "RMSE",
    "Accumulator",
    "Accuracy",
    "AveragePrecision",
    "Bin",
    "BrierScore",
    "ClassScoring",
    "Comparison",
    "Confusion",
    "Derived",
    "EntityF1",
    "Evaluation",
    "Evaluator",
    "ExpectedCalibrationError",
    "Floats",
    "Integers",
    "Interval",
    "Labels",
    "Latency",
    "MacroF1",
    "MaskedAccuracy",
    "MaskedAgreement",
    "MaskedCrossEntropy",
    "MaskedPerplexity",
    "Metric",
    "MetricInfo",
    "MicroF1",
    "ModelEvaluation",
    "NegativeLogLikelihood",
    "OfMeans",
    "Outputs",
    "OverTokens",
    "PinballLoss",
    "QuantileCalibrationError",
    "QuantileCoverage",
    "Reliability",
    "Resamples",
    "RowMean",
    "Score",
    "Scoring",
    "SubsetAccuracy",
    "Table",
    "TargetErrors",
    "TeacherAgreement",
    "TeacherKL",
    "TeacherRMSE",
    "Top5Accuracy",
    "evaluate",
    "final_average",
    "flops",
    "forgetting",
    "interval",
    "latency",
    "main_score",
    "masked_token_outputs",
    "masked_token_scoring",
    "metric_metadata",
    "multi_label_scoring",
    "parameters",
    "regression_scoring",
    "reliability",
    "single_label_scoring",
    "throughput",
    "token_scoring",
    "verdict",
]
