"""How images become the inputs of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.data import Augment, Batches, ImageSet, Plan, whole
from limbeck.data.batches import pixels
from limbeck.data.row_batches import Collate
from limbeck.models import Normalized
from limbeck.tasks.batch_source import Batch
from limbeck.tasks.estimators import ImageRows
from limbeck.tasks.splits import SplitSettings, TrainingRows

__all__ = ["ImageInputs", "ImageSettings"]

_evaluation_batch = 256
_statistics_rows = 2048
_views_seed = 0


@dataclass(frozen=True, kw_only=True)
class ImageSettings(SplitSettings):
    """The settings of images beside their source: those of `SplitSettings`, and

    Args:
        augment: ``flip``, ``crop`` and ``erase``, as in `limbeck.data.Augment`.
        workers: processes that read images which do not fit in memory.
    """

    augment: Mapping[str, Any] | None = None
    workers: int = 0


class ImageInputs:
    """Images, augmented in training, behind the normalization of the training rows.

    Args:
        rows: the training rows, which decide the normalization.
        settings: how to augment and to read them.
    """

    name: ClassVar = "image"
    names: ClassVar[dict[str, tuple[str, ...]]] = {}
    metadata: ClassVar = {"input_range": "0..1"}

    def __init__(self, rows: ImageSet, settings: ImageSettings) -> None:
        self.rows = rows
        self.settings = settings
        self.augment = Augment(**(settings.augment or {}))

    @property
    def options(self) -> dict[str, Any]:
        """What the data gives to the constructor of a model."""
        return {"channels": self.rows.shape[0], "size": self.rows.shape[1:]}

    @cached_property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, over at most 2,048 training rows at equal distances."""
        step = -(-len(self.rows) // _statistics_rows)
        rows = self.rows.subset(torch.arange(0, len(self.rows), step))
        values = next(whole(rows, _statistics_rows))["inputs"].double()
        deviation = values.std((0, 2, 3), correction=0)
        # A channel that never changes carries nothing: leave its scale alone.
        return values.mean((0, 2, 3)).tolist(), deviation.where(deviation > 0, 1.0).tolist()

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network behind the normalization."""
        return Normalized(net, *self.statistics)

    def rows_of(self, estimator: Any) -> ImageRows:
        """What turns images into the rows that an estimator takes."""
        return ImageRows()

    missing: ClassVar = "Pixels are from 0 to 1, and are named by row and column."

    def branch(self, feature: int, threshold: float) -> tuple[str, str]:
        """The condition on a pixel, from 0 to 1, that a comparison of a normalized value with a threshold means.

        Args:
            feature: its place among the values of an image, one channel after the other.
            threshold: of the normalized value.

        Returns:
            What is true of an image whose value is at most the threshold, and what of one above it.
        """
        channels, height, width = self.rows.shape
        channel, place = divmod(feature, height * width)
        where = ", ".join(map(str, (*([channel] if channels > 1 else []), *divmod(place, width))))
        mean, std = self.statistics
        value = f"{mean[channel] + std[channel] * threshold:.7g}"
        return f"pixel[{where}] <= {value}", f"pixel[{where}] > {value}"

    def collate(self, rows: ImageSet, numbers: Tensor, views: Tensor) -> Tensor:
        """These images as they are, float32 ``[B, C, H, W]`` in 0..1."""
        return pixels(rows, numbers, views, Augment(), 0)

    def batches(
        self,
        training: TrainingRows,
        plan: Plan,
        collate: Collate,
        *,
        seed: int,
        rank: int,
        world: int,
        views: int | None,
        cached: CachedRows | None,
    ) -> Batches:
        """The augmented batches of a plan."""
        return Batches(
            training.rows,
            plan,
            self.augment,
            seed=seed if views is None else _views_seed,
            workers=self.settings.workers,
            rank=rank,
            world=world,
            views=views,
            cached=cached,
        )

    @property
    def num_views(self) -> int | None:
        """The number of views per row, taken in turn; None if every epoch has its own."""
        return None if self.augment.changes else 1

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the views of the rows that caches hold."""
        augment = None if views is None else {**(self.settings.augment or {}), "seed": _views_seed}
        return {"images": training.rows.images.digest(), "augment": augment}

    @property
    def key(self) -> dict[str, Any]:
        """What decides the inputs beside the rows."""
        return {"augment": self.settings.augment, "statistics": self.statistics}

    def evaluation(self, rows: ImageSet, collate: Collate) -> Iterator[Batch]:
        """All images in order, as they are."""
        return whole(rows, _evaluation_batch, workers=self.settings.workers)

    @property
    def input(self) -> dict[str, Any]:
        """The shape of one input, for config.json and results.json."""
        return {"channels": self.rows.shape[0], "size": list(self.rows.shape[1:])}

    @property
    def description(self) -> str:
        """The input in words."""
        channels, height, width = self.rows.shape
        return f"{height}×{width} pixels, {channels} channel{'' if channels == 1 else 's'}"
