"""Losses as pure functions of tensors: one value per row, or one number for a loss between rows."""

from limbeck.losses._activation_patterns import activation_boundary, sparsity_pattern
from limbeck.losses._attention_scores import attention_scores
from limbeck.losses._attention_transfer import attention_transfer
from limbeck.losses._binary import binary_cross_entropy, binary_kd
from limbeck.losses._channel_wise import channel_wise
from limbeck.losses._cka import linear_cka
from limbeck.losses._class_weights import inverse_frequency
from limbeck.losses._correlation_congruence import correlation_congruence
from limbeck.losses._crd import crd
from limbeck.losses._cross_entropy import cross_entropy
from limbeck.losses._decoupled_kd import decoupled_kd
from limbeck.losses._dist import dist
from limbeck.losses._divergences import generalized_jsd, reverse_kl, total_variation
from limbeck.losses._factor_transfer import factor_transfer
from limbeck.losses._flow_of_solution import flow_of_solution
from limbeck.losses._gradient_attention import gradient_attention
from limbeck.losses._hidden_states import cosine_hidden, hidden_states_mse, patient_kd
from limbeck.losses._hint_mse import hint_mse
from limbeck.losses._inter_channel_correlation import inter_channel_correlation
from limbeck.losses._kl_divergence import kl_divergence, soft_cross_entropy
from limbeck.losses._layer_map import layer_map
from limbeck.losses._mse_logits import mse_logits
from limbeck.losses._mse_regression import mse_regression
from limbeck.losses._multi_level_logits import multi_level_logits
from limbeck.losses._nst_mmd import nst_mmd
from limbeck.losses._overhaul import overhaul
from limbeck.losses._pinball import pinball
from limbeck.losses._probabilistic_transfer import probabilistic_transfer
from limbeck.losses._review_kd import review_kd
from limbeck.losses._rkd import rkd_angle, rkd_distance
from limbeck.losses._similarity_preserving import similarity_preserving
from limbeck.losses._squared_error import squared_error
from limbeck.losses._value_relation import value_relation
from limbeck.losses._variational_information import variational_information
from limbeck.losses._weight_match import weight_match
from limbeck.losses._weighted_soft_label import weighted_soft_label
from limbeck.losses.sparse_logits import SparseLogits

__all__ = [
    "SparseLogits",
    "activation_boundary",
    "attention_scores",
    "attention_transfer",
    "binary_cross_entropy",
    "binary_kd",
    "channel_wise",
    "correlation_congruence",
    "cosine_hidden",
    "crd",
    "cross_entropy",
    "decoupled_kd",
    "dist",
    "factor_transfer",
    "flow_of_solution",
    "generalized_jsd",
    "gradient_attention",
    "hidden_states_mse",
    "hint_mse",
    "inter_channel_correlation",
    "inverse_frequency",
    "kl_divergence",
    "layer_map",
    "linear_cka",
    "mse_logits",
    "mse_regression",
    "multi_level_logits",
    "nst_mmd",
    "overhaul",
    "patient_kd",
    "pinball",
    "probabilistic_transfer",
    "reverse_kl",
    "review_kd",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "soft_cross_entropy",
    "sparsity_pattern",
    "squared_error",
    "total_variation",
    "value_relation",
    "variational_information",
    "weight_match",
    "weighted_soft_label",
]
