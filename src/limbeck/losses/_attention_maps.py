"""Losses between maps of where a network looks, as modules."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._attention_maps import check_channels, check_power
from limbeck.functional._checks import check_target
from limbeck.functional._features import check_maps
from limbeck.functional._traced_autograd import check_traced, is_of_compiled_graph
from limbeck.registry import register

__all__ = ["AttentionTransfer", "GradientAttention"]


@register("loss", "attention_transfer")
class AttentionTransfer(nn.Module):
    """Keeps a power for `limbeck.functional.attention_transfer`.

    Args:
        power: p, at least 1.

    Raises:
        ArgumentError: if the power is below 1.

    Example:
        >>> import torch
        >>> AttentionTransfer()(torch.ones(2, 3, 4, 4), torch.ones(2, 5, 4, 4))
        tensor([0., 0.])
    """

    def __init__(self, *, power: float = 2.0) -> None:
        super().__init__()
        check_power("attention_transfer", power)
        self.power = power

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return functional.attention_transfer(student, teacher, power=self.power)

    def extra_repr(self) -> str:
        return f"power={self.power}"


@register("loss", "gradient_attention")
class GradientAttention(nn.Module):
    """Differentiates both cross-entropies with respect to features, for `limbeck.functional.gradient_attention`.

    `student` and `teacher` are the features (or the inputs) that the logits were computed from, the very tensors:
    `Term` hands them over as they stand on the board, and what it makes of the logits still depends on them. The
    teacher must have a graph, as that of `Frozen(model, taps, differentiable=True)`; no gradient flows to it. A
    student's features have one, its inputs only if they require grad. A cached teacher cannot be used.

    The student's gradient is differentiated once more in backward. Supported: eager mode, autocast (the gradients then
    have the precision of the features), accumulation, DistributedDataParallel. `torch.compile` of the whole Distiller
    traces it if `torch._dynamo.config.trace_autograd_ops` is set to True, in the releases of torch that have it, and is
    refused without; so is a student that is compiled alone, as nothing inside its graph can be differentiated. Not
    supported are modules without a second derivative, such as fused attention kernels: choose
    `torch.nn.attention.SDPBackend.MATH` for them. Batch normalization in training mode lets a sample's gradient depend
    on the others'.

    Args:
        channels: compare the gradients of each channel, or their absolute sum.

    Raises:
        ArgumentError: if `channels` is neither.

    Inputs:
        student: features of the student, or its inputs, maps `[B, C, H, W]`.
        teacher: the same of the teacher, `[B, C', H', W']`.
        student_logits: what the student computes from them, `[B, K]`.
        teacher_logits: what the teacher computes from them, `[B, K]`.
        target: class numbers `[B]`, int64.

    Cost: a backward pass more of either model, from its logits to the features, and a second derivative of the
        student's.

    Example:
        >>> student, teacher = torch.ones(1, 1, 1, 2, requires_grad=True), torch.zeros(1, 1, 1, 2, requires_grad=True)
        >>> loss = GradientAttention()
        >>> loss(student, teacher, 2 * student.flatten(1), teacher.flatten(1), torch.tensor([0]))
        tensor([0.5000], grad_fn=<SumBackward1>)
    """

    differentiates = ("student", "teacher")
    exclusive = True

    def __init__(self, *, channels: Literal["each", "sum"] = "each") -> None:
        super().__init__()
        check_channels("gradient_attention", channels)
        self.channels = channels

    def forward(
        self, student: Tensor, teacher: Tensor, student_logits: Tensor, teacher_logits: Tensor, target: Tensor
    ) -> Tensor:
        check_maps("gradient_attention", student, teacher, channels=self.channels == "each")
        for logits in (student_logits, teacher_logits):
            check_target("gradient_attention", logits, target)
        return functional.gradient_attention(
            _gradient("student", student, student_logits, target, create_graph=True),
            _gradient("teacher", teacher, teacher_logits, target, create_graph=False).detach(),
            channels=self.channels,
        )

    def extra_repr(self) -> str:
        return f"channels={self.channels!r}"


def _gradient(name: str, features: Tensor, logits: Tensor, target: Tensor, *, create_graph: bool) -> Tensor:
    check_traced("gradient_attention")
    if not (torch.is_grad_enabled() and features.requires_grad and logits.requires_grad):
        raise ArgumentError(
            f"gradient_attention: the {name}'s features or logits carry no gradient; run it with gradients enabled, "
            f"and a teacher as Frozen(model, taps, differentiable=True)"
        )
    # Samples do not see each other: the gradient of the sum holds that of each.
    total = functional.cross_entropy(logits, target).sum()
    (gradient,) = torch.autograd.grad(
        total, [features], create_graph=create_graph, retain_graph=True, allow_unused=True
    )
    if gradient is None:
        raise ArgumentError(
            f"gradient_attention: the {name}'s logits do not depend on its features; "
            + (
                "its model is compiled alone: compile the whole Distiller instead"
                if is_of_compiled_graph(features)
                else "read a tap that they go through"
            )
        )
    return gradient
