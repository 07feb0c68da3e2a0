"""Sets of texts that are asked for their own words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from limbeck.data.labelled import UNKNOWN
from limbeck.data.texts import TextSet

__all__ = ["PlainTexts"]


@dataclass(frozen=True, eq=False)
class PlainTexts(TextSet):
    """Texts whose words are what there is to learn: every row has a label in itself, and none is of a class.

    Args:
        asked: whether words are hidden and asked for; rows without have no label.

    >>> data = PlainTexts.of_texts(TextSet.of([("good",), ("bad",)], torch.tensor([1, 0]), ("negative", "positive")))
    >>> data.labelled.tolist(), data.classes, data.target.tolist()
    ([True, True], (), [-100, -100])
    """

    asked: bool = True

    @classmethod
    def of_texts(cls, data: TextSet) -> Self:
        """The texts of a set, without its labels."""
        unknown = data.target.new_full((len(data),), UNKNOWN)
        return cls(data.files, data.place, unknown, data.index, (), data.skipped)

    def unasked(self) -> Self:
        """The same rows, none of whose words are asked for."""
        return replace(self, asked=False)

    @property
    def labelled(self) -> Tensor:
        return torch.full((len(self),), self.asked)

    @property
    def strata(self) -> Tensor:
        return torch.zeros_like(self.target)

    @property
    def counts(self) -> Tensor:
        return self.target.new_zeros(0)
