"""Sets of texts without class labels, for masked language modelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from limbeck.data.labels.classes import UNKNOWN
from limbeck.data.rows.texts import TextSet

__all__ = ["UnlabelledTexts"]


@dataclass(frozen=True, eq=False)
class UnlabelledTexts(TextSet):
    """Texts whose own words are the targets: every row counts as labelled, and none has a class.

    Args:
        masked: whether words are masked, to be predicted; if not, no row has a label.

    >>> texts = TextSet.of([("good",), ("bad",)], torch.tensor([1, 0]), ("negative", "positive"))
    >>> data = UnlabelledTexts.of_texts(texts)
    >>> data.labelled.tolist(), data.classes, data.target.tolist()
    ([True, True], (), [-100, -100])
    """

    masked: bool = True

    @classmethod
    def of_texts(cls, data: TextSet) -> Self:
        """The texts of a set, without its labels."""
        unknown = data.index.new_full((len(data),), UNKNOWN)
        return cls(data.files, data.position, unknown, data.index, (), data.skipped)

    def without_masks(self) -> Self:
        """The same rows, with no word masked."""
        return replace(self, masked=False)

    @property
    def labelled(self) -> Tensor:
        return torch.full((len(self),), self.masked)

    @property
    def strata(self) -> Tensor:
        return torch.zeros_like(self.target)

    @property
    def counts(self) -> Tensor:
        return self.target.new_zeros(0)
