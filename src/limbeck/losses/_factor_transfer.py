"""A loss between factors of the features: those of a paraphraser (teacher) and of a translator (student)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._features import check_maps, pool_to_smaller
from limbeck.losses._lazy import LazyModule, convolve
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["FactorTransfer", "factor_transfer"]

_SLOPE = 0.1


def factor_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Absolute difference of normalized factors, averaged over their elements.

    (1 / N) ‖f(student) − f(teacher)‖₁, with f(x) = x / ‖x‖₂ over all N = C·H·W elements of one sample. Where heights or
    widths differ, the larger factor is average-pooled to the smaller size. A factor that is 0 everywhere stays 0. The
    paper leaves the norm open; the authors' code uses this mean, with a weight of 500.

    Args:
        student: the translator's output, `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: the paraphraser's output, `[B, C, H', W']`.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when either side is multiplied by a number
        above 0.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> factor_transfer(torch.tensor([[[[5.0, 0.0]]]]), torch.tensor([[[[0.0, 2.0]]]]))
        tensor([1.])

    Kim, Park and Kwak, 2018, "Paraphrasing Complex Network: Network Compression via Factor Transfer",
    arXiv:1802.04977.
    """
    check_maps("factor_transfer", student, teacher, channels=True)
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    student, teacher = F.normalize(student.flatten(1), dim=1), F.normalize(teacher.flatten(1), dim=1)
    return (student - teacher).abs().mean(dim=1)


@register("loss", "factor_transfer")
class FactorTransfer(LazyModule):
    """Module for `limbeck.functional.factor_transfer`, with a paraphraser and a translator.

    The paraphraser maps the teacher's features and the translator the student's. Both are three 3×3 convolutions with a
    leaky ReLU (slope 0.1) after each, from the channels of the features to those of the factor: `rate` times the
    teacher's channels. `prepare` trains the paraphraser without labels, as the encoder of an autoencoder of the given
    samples, and freezes it; the translator is trained with the student. The paper trains the paraphraser for several
    epochs over the training set; this loss asks `Distiller.prepare` for 16 batches. The decoder has three convolutions
    in the reverse order (the paper's are transposed, which is equivalent at stride 1) and is discarded.

    Args:
        rate: the factor's channels as a share of the teacher's.
        paraphraser_steps: steps of Adam (learning rate 0.001), one sample each, in turn.

    Raises:
        ArgumentError: if a setting is out of range.

    Cost: O(B (S² + C²) H W) operations and O(B (S + C) H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss, student, teacher = FactorTransfer(paraphraser_steps=1), torch.ones(2, 3, 4, 4), torch.ones(2, 6, 4, 4)
        >>> loss.prepare([{"student": student, "teacher": teacher}])
        >>> loss(student, teacher).shape
        torch.Size([2])
    """

    prepare_batches: ClassVar[int] = 16

    def __init__(self, *, rate: float = 0.5, paraphraser_steps: int = 100) -> None:
        super().__init__()
        if not 0.0 < rate <= 16.0:
            raise ArgumentError(
                f"factor_transfer: rate is {rate}, expected above 0 and at most 16; the paper's is 0.5", path="rate"
            )
        if paraphraser_steps < 0:
            raise ArgumentError(
                f"factor_transfer: paraphraser_steps is {paraphraser_steps}, expected at least 0",
                path="paraphraser_steps",
            )
        self.rate = rate
        self.paraphraser_steps = paraphraser_steps

    def build(self, channels: Sequence[int]) -> None:
        student, teacher = channels
        factor = self._factor(teacher)
        self.paraphraser = _convolutions(teacher, teacher, factor, factor).requires_grad_(False)
        self.translator = _convolutions(student, student, factor, factor)

    def _factor(self, teacher: int) -> int:
        return max(1, round(self.rate * teacher))

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size both networks from the first sample, and train the paraphraser on the teacher's features of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the features are not maps, or their channels are not those given before.
        """
        for sample in samples:
            for name in ("student", "teacher"):
                if sample[name].ndim != 4:
                    raise ArgumentError(
                        f"factor_transfer: {name} has shape {shape(sample[name])}, expected maps [B, C, H, W]; read "
                        f"taps before the pooling",
                        code="wrong_shape",
                        path=name,
                    )
            self.size([sample["student"].shape[1], sample["teacher"].shape[1]])
        self._train_paraphraser([at_least_float32(sample["teacher"].detach()) for sample in samples])

    def _train_paraphraser(self, features: Sequence[Tensor]) -> None:
        teacher = features[0].shape[1]
        factor = self._factor(teacher)
        decoder = _convolutions(factor, factor, teacher, teacher).to(features[0])
        self.paraphraser.requires_grad_(True)
        optimizer = torch.optim.Adam([*self.paraphraser.parameters(), *decoder.parameters()], lr=1e-3)
        with torch.enable_grad():
            for step in range(self.paraphraser_steps):
                maps = features[step % len(features)]
                loss = F.mse_loss(_run(decoder, _run(self.paraphraser, maps)), maps)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        optimizer.zero_grad()
        self.paraphraser.requires_grad_(False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.check_sized()
        check_maps("factor_transfer", student, teacher)
        with torch.no_grad():
            teacher = _run(self.paraphraser, teacher)
        return factor_transfer(_run(self.translator, student), teacher)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, paraphraser_steps={self.paraphraser_steps}"


def _convolutions(*widths: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))


def _run(layers: nn.ModuleList, maps: Tensor) -> Tensor:
    for layer in layers:
        maps = F.leaky_relu(convolve("factor_transfer", layer, maps), _SLOPE)
    return maps
