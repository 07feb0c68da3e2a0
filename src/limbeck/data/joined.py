"""Rows of a second source, without their labels, behind those of a first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.data.images import UNKNOWN, Images, ImageSet, MemoryImages
from limbeck.errors import DataError

__all__ = ["with_unlabelled"]


class _JoinedImages:
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
        found = [(at, part.take(own)) for at, part, own in self._places(rows)]
        if len({pixels.dtype for _, pixels in found}) > 1:
            found = [(at, pixels if pixels.is_floating_point() else pixels.float().div_(255)) for at, pixels in found]
        order = torch.cat([at for at, _ in found]).argsort()
        return torch.cat([pixels for _, pixels in found])[order]

    def subset(self, rows: Tensor) -> Images:
        places = list(self._places(rows))
        ordered = torch.cat([at for at, _, _ in places])
        if not torch.equal(ordered, torch.arange(len(rows))):
            raise DataError("rows of joined sources keep the order of the sources; sort them")
        return _joined([part.subset(own) for _, part, own in places])

    def digest(self) -> str:
        return hashlib.sha256(" ".join(part.digest() for part in self.parts).encode()).hexdigest()

    def _places(self, rows: Tensor) -> Sequence[tuple[Tensor, Images, Tensor]]:
        """For each part: where in rows its own stand, the part, and their numbers in it."""
        owner = torch.searchsorted(self.ends, rows, right=True)
        starts = [0, *self.ends.tolist()]
        places = ((owner == number).nonzero().squeeze(1) for number in range(len(self.parts)))
        return [(at, self.parts[number], rows[at] - starts[number]) for number, at in enumerate(places) if len(at)]


def with_unlabelled(data: ImageSet, others: ImageSet) -> ImageSet:
    """The rows of data, then those of others, whose targets are not known and whose index goes on.

    Args:
        data: the rows of the first source, with its classes.
        others: rows of a second one. Its labels and classes, if it has any, are not looked at.

    Raises:
        DataError: if the images have other shapes.

    >>> first = ImageSet.from_tensor(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ("cat", "dog"))
    >>> second = ImageSet.from_tensor(torch.ones(3, 1, 4, 4), torch.tensor([0, 0, 1]), ("a", "b"))
    >>> with_unlabelled(first, second).target.tolist()
    [0, 1, -100, -100, -100]
    """
    if data.shape != others.shape:
        raise DataError(
            f"unlabelled images have shape {others.shape}, the labelled ones {data.shape}; bring them to the same "
            "channels, height and width"
        )
    start = int(data.index.max()) + 1 if len(data) else 0
    return ImageSet(
        _joined([data.images, others.images]),
        torch.cat([data.target, torch.full_like(others.target, UNKNOWN)]),
        torch.cat([data.index, torch.arange(start, start + len(others))]),
        data.classes,
    )


def _joined(parts: Sequence[Images]) -> Images:
    held = [part.pixels for part in parts if isinstance(part, MemoryImages)]
    if len(held) == len(parts) and len({pixels.dtype for pixels in held}) == 1:
        return MemoryImages(torch.cat(held))
    return _JoinedImages(parts)
