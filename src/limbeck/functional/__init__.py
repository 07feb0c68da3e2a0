"""Losses as pure functions: tensors in, one value per row out, or one number for those between the rows of a batch."""

from limbeck.functional._activation_patterns import activation_boundary, sparsity_pattern
from limbeck.functional._attention import attention_scores, value_relation
from limbeck.functional._attention_maps import attention_transfer, gradient_attention
from limbeck.functional._binary import binary_cross_entropy, binary_kd
from limbeck.functional._channel_wise import channel_wise
from limbeck.functional._cka import linear_cka
from limbeck.functional._class_weights import inverse_frequency
from limbeck.functional._contrast import crd
from limbeck.functional._correlation import dist
from limbeck.functional._decoupled import decoupled_kd
from limbeck.functional._divergences import generalized_jsd, reverse_kl, total_variation
from limbeck.functional._factors import factor_transfer
from limbeck.functional._geometry import rkd_angle, rkd_distance
from limbeck.functional._hidden_states import cosine_hidden, hidden_states_mse, patient_kd
from limbeck.functional._hints import hint_mse
from limbeck.functional._layer_maps import layer_map
from limbeck.functional._layer_relations import flow_of_solution, inter_channel_correlation
from limbeck.functional._logits import mse_logits
from limbeck.functional._multi_level import multi_level_logits
from limbeck.functional._overhaul import overhaul
from limbeck.functional._regression import mse_regression
from limbeck.functional._review import review_kd
from limbeck.functional._selectivity import nst_mmd
from limbeck.functional._similarities import correlation_congruence, probabilistic_transfer, similarity_preserving
from limbeck.functional._softened import kl_divergence, soft_cross_entropy
from limbeck.functional._sparse import SparseLogits
from limbeck.functional._supervised import cross_entropy
from limbeck.functional._variational import variational_information
from limbeck.functional._weighted_soft_label import weighted_soft_label
from limbeck.functional._weights import weight_match

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
    "probabilistic_transfer",
    "reverse_kl",
    "review_kd",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "soft_cross_entropy",
    "sparsity_pattern",
    "total_variation",
    "value_relation",
    "variational_information",
    "weight_match",
    "weighted_soft_label",
]
