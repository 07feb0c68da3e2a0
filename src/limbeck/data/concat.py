"""The images of several sets as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.data.pixels import Images, MemoryImages
from limbeck.errors import DataError

__all__ = ["concat_images"]


class _ConcatImages:
    """The images of several sets, one after the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self.parts = tuple(parts)
        self.ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.parts[0].shape

    def __len__(self) -> int:
        return int(self.ends[-1])

    def take(self, rows: Tensor) -> Tensor:
        found = [(at, part.take(own)) for at, part, own in self._positions(rows)]
        if len({pixels.dtype for _, pixels in found}) > 1:
            found = [(at, pixels if pixels.is_floating_point() else pixels.float().div_(255)) for at, pixels in found]
        order = torch.cat([at for at, _ in found]).argsort()
        return torch.cat([pixels for _, pixels in found])[order]

    def subset(self, rows: Tensor) -> Images:
        positions = list(self._positions(rows))
        ordered = torch.cat([at for at, _, _ in positions])
        if not torch.equal(ordered, torch.arange(len(rows))):
            raise DataError(
                "rows of joined sources keep the order of the sources; sort them", code="out_of_range", path="rows"
            )
        return concat_images([part.subset(own) for _, part, own in positions])

    def digest(self) -> str:
        return hashlib.sha256(" ".join(part.digest() for part in self.parts).encode()).hexdigest()

    def _positions(self, rows: Tensor) -> Sequence[tuple[Tensor, Images, Tensor]]:
        """For each part: where in rows its own stand, the part, and their numbers in it."""
        owner = torch.searchsorted(self.ends, rows, right=True)
        starts = [0, *self.ends.tolist()]
        positions = ((owner == number).nonzero().squeeze(1) for number in range(len(self.parts)))
        return [(at, self.parts[number], rows[at] - starts[number]) for number, at in enumerate(positions) if len(at)]


def concat_images(parts: Sequence[Images]) -> Images:
    """The images of all parts, one part after the other; in memory where all are there, with values of one type."""
    held = [part.pixels for part in parts if isinstance(part, MemoryImages)]
    if len(held) == len(parts) and len({pixels.dtype for pixels in held}) == 1:
        return MemoryImages(torch.cat(held))
    return _ConcatImages(parts)
