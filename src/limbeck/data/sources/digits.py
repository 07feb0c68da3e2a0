"""Handwritten digits of 8×8 pixels, from scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from limbeck.data.rows.images import ImageSet
from limbeck.data.sources.packaged import packaged_file, read_bytes_table
from limbeck.registry import register

__all__ = ["Digits"]


@register("source", "digits")
class Digits:
    """1,797 handwritten digits, 1×8×8, ten classes; the file comes with scikit-learn, whose code is not run.

    Pixel counts 0..16 are divided by 16.

    >>> len(Digits().load()["train"])
    1797

    Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", doi:10.24432/C50P49.
    """

    row_type: ClassVar = ImageSet

    def load(self) -> Mapping[str, ImageSet]:
        """All rows under "train".

        Raises:
            DataError: if scikit-learn is not installed.
        """
        file = packaged_file("sklearn", "datasets/data/digits.csv.gz", distribution="scikit-learn")
        table = torch.from_numpy(read_bytes_table(file, 65))
        pixels = table[:, :64].to(torch.float32).div_(16).reshape(-1, 1, 8, 8)
        return {"train": ImageSet.from_tensor(pixels, table[:, 64].long(), tuple("0123456789"))}
