"""Every loss, with its options and inputs of a number of channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CASES", "Case", "Values", "logits"]

ROWS, CLASSES, TOKENS, HEADS = 128, 10, 32, 4
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A loss, its options, and inputs for a number of channels."""

    name: str
    draw: Callable[[int], Values]
    options: Mapping[str, Any] = field(default_factory=dict)
    # All arguments from those that are drawn, for losses that differentiate one by another.
    derived: Callable[[Values], Values] = dict

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.options.items())})".removesuffix("()")


def logits(channels: int) -> Values:
    return {"student": 2 * torch.randn(ROWS, channels), "teacher": 2 * torch.randn(ROWS, channels)}


def labels(channels: int) -> Values:
    return {"student": 2 * torch.randn(ROWS, channels), "target": torch.randint(channels, (ROWS,))}


def answers(channels: int) -> Values:
    return {"student": 2 * torch.randn(ROWS, channels), "target": torch.randint(2, (ROWS, channels))}


def logits_and_labels(channels: int) -> Values:
    return {**logits(channels), **labels(channels)}


def quantities(channels: int) -> Values:
    return {**logits(channels), "target": torch.randn(ROWS, channels)}


def maps(channels: int, *names: str) -> Values:
    side = 8 if channels < 256 else 4
    return {name: torch.randn(ROWS, channels, side, side) for name in names or ("student", "teacher")}


def maps_and_labels(channels: int) -> Values:
    return {**maps(channels), "target": torch.randint(CLASSES, (ROWS,))}


def levels(channels: int) -> Values:
    values = maps(channels, "student_1", "teacher_1")
    pooled = {name: nn.functional.avg_pool2d(value, 2) for name, value in values.items()}
    return {**values, **{name.replace("1", "2"): value for name, value in pooled.items()}}


def tokens(channels: int, *names: str) -> Values:
    return {name: torch.randn(ROWS, TOKENS, channels) for name in names or ("student", "teacher")}


def kernels(channels: int) -> Values:
    return {name: torch.randn(channels, channels, 3, 3) for name in ("student", "teacher")}


def placed(channels: int) -> Values:
    return {**logits(channels), "row": torch.randperm(4 * ROWS)[:ROWS]}


def head(values: Values) -> Values:
    """Logits of the means of the channels; the teacher's features with a graph of their own."""
    teacher = values["teacher"].requires_grad_()
    weight = torch.linspace(-1, 1, CLASSES * teacher.shape[1], dtype=teacher.dtype).view(CLASSES, -1)
    sides = {"student": values["student"], "teacher": teacher}
    return {**values, **{f"{side}_logits": maps.mean((2, 3)) @ weight.T for side, maps in sides.items()}}


def numbers(channels: int) -> Values:
    return {name: torch.randn(ROWS * channels) for name in ("student", "target")}


def quantiles(channels: int) -> Values:
    return {"student": torch.randn(ROWS * channels, 3), "target": torch.randn(ROWS * channels)}


SOFT = {"temperature": 4.0}
LAYERS = ("student_first", "student_second", "teacher_first", "teacher_second")
PROJECTIONS = ("student_query", "student_key", "teacher_query", "teacher_key")
BOTH_HEADS = {"student_heads": HEADS, "teacher_heads": HEADS}
CASES = [
    *(Case(name, logits, SOFT) for name in ("kl_divergence", "reverse_kl", "soft_cross_entropy", "generalized_jsd")),
    *(Case(name, logits, SOFT) for name in ("total_variation", "binary_kd", "dist")),
    *(Case(name, logits) for name in ("multi_level_logits", "mse_logits")),
    *(Case(name, logits_and_labels, SOFT) for name in ("decoupled_kd", "weighted_soft_label")),
    Case("cross_entropy", labels),
    Case("binary_cross_entropy", answers),
    Case("mse_regression", quantities),
    Case("squared_error", numbers),
    Case("pinball", quantiles),
    *(Case(name, maps) for name in ("hint_mse", "activation_boundary", "sparsity_pattern", "attention_transfer")),
    *(Case(name, maps) for name in ("channel_wise", "overhaul", "variational_information")),
    *(Case("nst_mmd", maps, {"kernel": kernel}) for kernel in ("linear", "polynomial", "gaussian")),
    Case("gradient_attention", maps_and_labels, derived=head),
    Case("factor_transfer", maps, {"paraphraser_steps": 0}),
    Case("review_kd", levels),
    Case("weight_match", kernels),
    Case("flow_of_solution", lambda channels: maps(channels, *LAYERS)),
    Case("inter_channel_correlation", maps),
    *(Case(name, logits) for name in ("rkd_distance", "rkd_angle", "similarity_preserving")),
    *(Case(name, logits) for name in ("correlation_congruence", "probabilistic_transfer")),
    *(Case(name, tokens) for name in ("hidden_states_mse", "cosine_hidden", "patient_kd")),
    *(
        Case("attention_scores", lambda channels: tokens(channels, *PROJECTIONS), {**BOTH_HEADS, "on": on})
        for on in ("scores", "maps")
    ),
    Case(
        "value_relation",
        lambda channels: tokens(channels, "student_value", "teacher_value"),
        {"relation_heads": HEADS},
    ),
    Case("crd", placed, {"rows": 4 * ROWS, "negatives": 4 * ROWS}),
]
