"""Losses as modules: they hold settings, projections and memory, and call the functions of `limbeck.functional`."""

from limbeck.losses._activation_patterns import ActivationBoundary, SparsityPattern
from limbeck.losses._attention_scores import AttentionScores
from limbeck.losses._attention_transfer import AttentionTransfer
from limbeck.losses._binary import BinaryCrossEntropy, BinaryKD
from limbeck.losses._channel_wise import ChannelWise
from limbeck.losses._correlation_congruence import CorrelationCongruence
from limbeck.losses._crd import CRD
from limbeck.losses._cross_entropy import CrossEntropy
from limbeck.losses._decoupled_kd import DecoupledKD
from limbeck.losses._dist import DIST
from limbeck.losses._divergences import GeneralizedJSD, ReverseKL, TotalVariation
from limbeck.losses._factor_transfer import FactorTransfer
from limbeck.losses._flow_of_solution import FlowOfSolution
from limbeck.losses._gradient_attention import GradientAttention
from limbeck.losses._hidden_states import CosineHidden, HiddenStatesMSE, PatientKD
from limbeck.losses._hint_mse import HintMSE
from limbeck.losses._inter_channel_correlation import InterChannelCorrelation
from limbeck.losses._kl_divergence import KLDivergence, SoftCrossEntropy
from limbeck.losses._mse_logits import MSELogits
from limbeck.losses._mse_regression import MSERegression
from limbeck.losses._multi_level_logits import MultiLevelLogits
from limbeck.losses._nst_mmd import NSTMMD
from limbeck.losses._overhaul import Overhaul
from limbeck.losses._pinball import Pinball, check_quantiles
from limbeck.losses._probabilistic_transfer import ProbabilisticTransfer
from limbeck.losses._review_kd import ReviewKD
from limbeck.losses._rkd import RKDAngle, RKDDistance
from limbeck.losses._similarity_preserving import SimilarityPreserving
from limbeck.losses._squared_error import SquaredError
from limbeck.losses._temperatures import Curriculum, batch_law
from limbeck.losses._value_relation import ValueRelation
from limbeck.losses._variational_information import VariationalInformation
from limbeck.losses._weight_match import WeightMatch
from limbeck.losses._weighted_soft_label import WeightedSoftLabel

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
    "Pinball",
    "ProbabilisticTransfer",
    "RKDAngle",
    "RKDDistance",
    "ReverseKL",
    "ReviewKD",
    "SimilarityPreserving",
    "SoftCrossEntropy",
    "SparsityPattern",
    "SquaredError",
    "TotalVariation",
    "ValueRelation",
    "VariationalInformation",
    "WeightMatch",
    "WeightedSoftLabel",
    "batch_law",
    "check_quantiles",
]
