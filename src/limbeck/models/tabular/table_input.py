"""The encoding of a table's columns, as a part of the model that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["TableInput"]


class TableInput(nn.Module):
    r"""A network behind the encoding of the columns of a table.

    A column of numbers becomes :math:`(x - \mu) / \sigma`; a missing number (NaN) counts as the mean, 0 after the
    encoding. A column of categories becomes a 0 or 1 for each category; a missing or unknown category is all 0. Means,
    deviations and categories are buffers: they are saved with the weights and lie in an exported graph.

    Args:
        model: takes encoded rows `[B, D]`; it stands at ``net``.
        mean: of each of the F columns of numbers, over the training rows without missing values.
        std: the standard deviation of each, above 0.
        codes: for each of the G columns of categories the number of its codes: 0 for a missing or unknown category, and
            1 for the first category and so on.

    Raises:
        ArgumentError: if means and deviations differ in number, a deviation is not above 0, or a column has no code.

    Shape:
        - Input: `[B, F + G]`, floating: the numbers, then the codes.
        - Encoded: `[B, D]`, D = F + the number of all categories, `encoded_size`.

    >>> model = TableInput(nn.Identity(), mean=[2.0], std=[4.0], codes=[3])
    >>> model(torch.tensor([[4.0, 2.0], [torch.nan, 0.0]])).tolist()
    [[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """

    mean: Tensor
    std: Tensor
    column: Tensor
    category: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float], codes: Sequence[int]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ArgumentError(
                f"TableInput: {len(mean)} means and the standard deviations {list(std)}; expected one of each for "
                "every column of numbers, the deviations above 0",
                code="mismatch",
                path="std",
            )
        if not all(count >= 1 for count in codes):
            raise ArgumentError(
                f"TableInput: codes are {list(codes)}; expected at least 1 for every column", path="codes"
            )
        self.net = model
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        columns = [len(mean) + at for at, count in enumerate(codes) for _ in range(1, count)]
        categories = [code for count in codes for code in range(1, count)]
        self.register_buffer("column", torch.tensor(columns, dtype=torch.int64))
        self.register_buffer("category", torch.tensor(categories, dtype=torch.float32))

    @staticmethod
    def encoded_size(numbers: int, codes: Sequence[int]) -> int:
        """The number D of encoded features."""
        return numbers + sum(count - 1 for count in codes)

    def forward(self, features: Tensor, **call: Any) -> Any:
        return self.net(self.encode(features), **call)

    def encode(self, features: Tensor) -> Tensor:
        """The encoded rows, `[B, D]`."""
        numbers = (features[:, : len(self.mean)] - self.mean) / self.std
        numbers = torch.where(numbers.isnan(), torch.zeros_like(numbers), numbers)
        indicators = features[:, self.column] == self.category
        return torch.cat([numbers, indicators.to(numbers.dtype)], dim=1)
