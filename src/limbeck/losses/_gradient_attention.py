"""A loss between the gradients of both cross-entropies with respect to features or inputs."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_target
from limbeck.losses._cross_entropy import cross_entropy
from limbeck.losses._features import check_maps, pool_to_smaller
from limbeck.losses.precision import at_least_float32
from limbeck.losses.traced_autograd import check_traced, is_of_compiled_graph
from limbeck.registry import register

__all__ = ["GradientAttention", "check_channels", "gradient_attention"]


def check_channels(operation: str, channels: str) -> None:
    """Reject anything but the two ways to compare channels."""
    if channels not in ("each", "sum"):
        raise ArgumentError(f"{operation}: channels is {channels!r}, expected 'each' or 'sum'", path="channels")


def gradient_attention(student: Tensor, teacher: Tensor, *, channels: Literal["each", "sum"] = "each") -> Tensor:
    """Squared distance of the gradients of two hard losses with respect to features.

    ‖J_student − J_teacher‖₂², summed over all elements, with J = ∂ℓ/∂x for the hard loss ℓ of one sample and x the
    input or any features. `channels="sum"` replaces J by Σ_c |J_c| at each position, so that numbers of channels may
    differ. Where heights or widths differ, the larger is average-pooled to the smaller size.

    The paper's equation 3 has β / 2 times the norm without the square, its equation 4 the derivative of the square;
    here it is the square, so its weight is β / 2. In the paper x is the input, and channels are not summed.

    Args:
        student: the gradient of the student's loss, maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in
            float32.
        teacher: the gradient of the teacher's loss, `[B, C', H', W']`.
        channels: compare the gradients of each channel, or their absolute sum.

    Returns:
        One value per sample, `[B]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, or `channels` has another value.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0, -2.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
        >>> gradient_attention(student, teacher), gradient_attention(student, teacher, channels="sum")
        (tensor([16.]), tensor([0.]))

    Zagoruyko and Komodakis, 2017, "Paying More Attention to Attention: Improving the Performance of Convolutional
    Neural Networks via Attention Transfer", arXiv:1612.03928.
    """
    check_channels("gradient_attention", channels)
    check_maps("gradient_attention", student, teacher, channels=channels == "each")
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if channels == "sum":
        student, teacher = (maps.abs().sum(dim=1, keepdim=True) for maps in (student, teacher))
    student, teacher = pool_to_smaller(student, teacher)
    return (student - teacher).square().sum(dim=(1, 2, 3))


@register("loss", "gradient_attention")
class GradientAttention(nn.Module):
    """Module for `limbeck.functional.gradient_attention` that differentiates both cross-entropies.

    `student` and `teacher` are the features (or the inputs) from which the logits were computed: the same tensor
    objects, as `Term` passes them from the board. The teacher needs an autograd graph, as
    `Frozen(model, taps, differentiable=True)` gives it; no gradient flows to it. The features of a student have a
    graph, its inputs only if they require grad. A cached teacher cannot be used.

    Backward differentiates the student's gradient a second time. This works in eager mode, with autocast (the gradients
    then have the precision of the features), with gradient accumulation and with DistributedDataParallel.
    `torch.compile` of the whole Distiller works if `torch._dynamo.config.trace_autograd_ops` is True, in releases of
    PyTorch that have this setting, and raises an error otherwise; so does a student that is compiled alone, because
    nothing inside its graph can be differentiated. Modules without a second derivative, such as fused attention
    kernels, are not supported: choose `torch.nn.attention.SDPBackend.MATH`. With batch normalization in training mode,
    the gradient of a sample depends on the other samples.

    Args:
        channels: compare the gradients of each channel, or their absolute sum.

    Raises:
        ArgumentError: if `channels` has another value.

    Inputs:
        student: features of the student, or its inputs, maps `[B, C, H, W]`.
        teacher: features or inputs of the teacher, `[B, C', H', W']`.
        student_logits: the student's logits, computed from them, `[B, K]`.
        teacher_logits: the teacher's logits, computed from them, `[B, K]`.
        target: class numbers `[B]`, int64.

    Cost: one more backward pass of each model, from its logits to the features, and a second derivative of the
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
        return gradient_attention(
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
            f"and a teacher as Frozen(model, taps, differentiable=True)",
            code="unsupported",
            path=name,
        )
    # Samples are independent, so the gradient of the sum holds the gradient of each sample.
    total = cross_entropy(logits, target).sum()
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
            ),
            code="unsupported",
            path=name,
        )
    return gradient
