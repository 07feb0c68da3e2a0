"""A loss between factors of features, as a module that holds the paraphraser and the translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._features import check_maps
from limbeck.functional._precision import at_least_float32
from limbeck.losses._sized import Sized, convolved
from limbeck.registry import register

__all__ = ["FactorTransfer"]

_slope = 0.1


@register("loss", "factor_transfer")
class FactorTransfer(Sized):
    """Keeps a paraphraser of the teacher's and a translator of the student's maps for `functional.factor_transfer`.

    Both are three 3×3 convolutions with a leaky ReLU (slope 0.1) after each, from the features' channels to the
    factor's, which are `rate` times the teacher's channels. `prepare` trains the paraphraser without labels, as the
    first half of an autoencoder of the samples that it is given, and freezes it; the translator is learned with the
    student. The paper trains the paraphraser for some epochs of the whole training set; here it asks
    `Distiller.prepare` for 16 batches. The autoencoder's other half is three convolutions in the reverse order
    (transposed, in the paper, which at stride 1 is the same family); it is not kept.

    Args:
        rate: the factor's channels as a share of the teacher's.
        paraphraser_steps: steps of Adam (learning rate 0.001), one sample each, in turn.

    Raises:
        ArgumentError: if a setting is out of range.

    Cost: O(B (S² + C²) H W) operations more, O(B (S + C) H W) memory more, for a student of S channels.

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
            raise ArgumentError(f"factor_transfer: rate is {rate}, expected above 0 and at most 16; the paper's is 0.5")
        if paraphraser_steps < 0:
            raise ArgumentError(f"factor_transfer: paraphraser_steps is {paraphraser_steps}, expected at least 0")
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
                        f"taps before the pooling"
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
        return functional.factor_transfer(_run(self.translator, student), teacher)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, paraphraser_steps={self.paraphraser_steps}"


def _convolutions(*widths: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))


def _run(layers: nn.ModuleList, maps: Tensor) -> Tensor:
    for layer in layers:
        maps = F.leaky_relu(convolved("factor_transfer", layer, maps), _slope)
    return maps
