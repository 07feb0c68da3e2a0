"""Losses as modules: they keep settings, projections and memory, and call limbeck.functional."""

from limbeck.losses._activation_patterns import ActivationBoundary, SparsityPattern
from limbeck.losses._attention import AttentionScores, ValueRelation
from limbeck.losses._attention_maps import AttentionTransfer, GradientAttention
from limbeck.losses._binary import BinaryCrossEntropy, BinaryKD
from limbeck.losses._channel_wise import ChannelWise
from limbeck.losses._contrast import CRD
from limbeck.losses._correlation import DIST
from limbeck.losses._decoupled import DecoupledKD
from limbeck.losses._divergences import GeneralizedJSD, ReverseKL, TotalVariation
from limbeck.losses._factors import FactorTransfer
from limbeck.losses._hidden_states import CosineHidden, HiddenStatesMSE, PatientKD
from limbeck.losses._hints import HintMSE
from limbeck.losses._layer_relations import FlowOfSolution, InterChannelCorrelation
from limbeck.losses._logits import MSELogits
from limbeck.losses._multi_level import MultiLevelLogits
from limbeck.losses._overhaul import Overhaul
from limbeck.losses._regression import MSERegression
from limbeck.losses._review import ReviewKD
from limbeck.losses._sample_relations import (
    CorrelationCongruence,
    ProbabilisticTransfer,
    RKDAngle,
    RKDDistance,
    SimilarityPreserving,
)
from limbeck.losses._selectivity import NSTMMD
from limbeck.losses._softened import KLDivergence, SoftCrossEntropy
from limbeck.losses._supervised import CrossEntropy
from limbeck.losses._temperature import Curriculum, batch_law
from limbeck.losses._variational import VariationalInformation
from limbeck.losses._weighted_soft_label import WeightedSoftLabel
from limbeck.losses._weights import WeightMatch

__all__ = [
    "CRD",
    "DIST",
    "NSTMMD",
    "ActivationBoundary",
    "AttentionScores",
    "AttentionTransfer",
    "BinaryCrossEntropy",
    "BinaryKD",
    "ChannelWise",
    "CorrelationCongruence",
    "CosineHidden",
    "CrossEntropy",
    "Curriculum",
    "DecoupledKD",
    "FactorTransfer",
    "FlowOfSolution",
    "GeneralizedJSD",
    "GradientAttention",
    "HiddenStatesMSE",
    "HintMSE",
    "InterChannelCorrelation",
    "KLDivergence",
    "MSELogits",
    "MSERegression",
    "MultiLevelLogits",
    "Overhaul",
    "PatientKD",
    "ProbabilisticTransfer",
    "RKDAngle",
    "RKDDistance",
    "ReverseKL",
    "ReviewKD",
    "SimilarityPreserving",
    "SoftCrossEntropy",
    "SparsityPattern",
    "TotalVariation",
    "ValueRelation",
    "VariationalInformation",
    "WeightMatch",
    "WeightedSoftLabel",
    "batch_law",
]
