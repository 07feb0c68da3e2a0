"""Image classification: what its batches hold, how its models are built and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import Address, logits_of
from limbeck.data import Augment, Batches, ImageSet, from_dataset, whole, with_unlabelled
from limbeck.data.files import read_image
from limbeck.errors import ArgumentError
from limbeck.export import Session, export_onnx
from limbeck.measure import SingleLabel, main_score
from limbeck.registry import register
from limbeck.students import Normalized
from limbeck.students.library import check_forward
from limbeck.tasks.division import SplitSettings, divide, planned
from limbeck.tasks.single_label import most_likely
from limbeck.tasks.task import Batch, Part, Prediction, TrainingRows

__all__ = ["DataSettings", "ImageClassification"]

_evaluation_batch = 256
_statistics_rows = 2048
_views_seed = 0


@dataclass(frozen=True, kw_only=True)
class DataSettings(SplitSettings):
    """What a recipe says of images beside their source: what `SplitSettings` has, and

    Args:
        augment: ``flip``, ``crop`` and ``erase``, as in `limbeck.data.Augment`.
        workers: processes that read images which do not fit in memory.
    """

    augment: Mapping[str, Any] | None = None
    workers: int = 0


@register("task", "image_classification")
class ImageClassification:
    """The rows of a source of images, split; and everything that a run asks of the task.

    Args:
        source: ``train``, and where the source has it ``test``.
        settings: how to split and augment them.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, some have no label although ``labels`` counts them, or the rows of
            another source do not fit.
    """

    Settings: ClassVar = DataSettings
    sections: ClassVar = {"augment": Augment}
    sources: ClassVar = ("source",)
    models: ClassVar = ("model",)
    pretrained: ClassVar = ()
    supplied: ClassVar = ("channels", "classes", "size")
    parts: ClassVar[Mapping[str, Part]] = {}
    counted: ClassVar = None
    fixed: ClassVar = None
    scoring: ClassVar = SingleLabel()
    formats: ClassVar = ("onnx", "int8")

    @classmethod
    def predictions(
        cls, inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session
    ) -> list[Prediction]:
        """The classes of these files, brought to the size and the channels of the model."""
        if pairs:
            raise ArgumentError("an image has no second text; leave the pair out")
        channels, *size = session.inputs["image"].shape[1:]
        rows = [read_image(Path(file), int(channels), (int(size[0]), int(size[1]))) for file in inputs]
        return most_likely(session(torch.stack(rows)), session.classes)

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, ImageSet]:
        """What a source would load: given as it is, as a dataset of pairs (image, label), or as two of them."""
        if isinstance(data, Mapping):
            return data
        return from_dataset(*data) if isinstance(data, tuple) else from_dataset(data)

    def __init__(
        self,
        source: Mapping[str, ImageSet],
        settings: DataSettings,
        *,
        unlabelled: Mapping[str, ImageSet] | None = None,
        test_from: Mapping[str, ImageSet] | None = None,
    ) -> None:
        self.settings = settings
        self.augment = Augment(**(settings.augment or {}))
        rows = divide(source, settings, with_unlabelled, unlabelled=unlabelled, test_from=test_from)
        self.validation, self.test = rows.validation, rows.test
        self.teacher_rows, self.student_rows, self.labelled_rows = rows.teacher, rows.student, rows.labelled

    @property
    def classes(self) -> tuple[str, ...]:
        return self.test.classes

    @property
    def channels(self) -> int:
        return self.test.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        return self.test.shape[1:]

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task itself: every model reads the same images."""
        return self, {}

    @property
    def input(self) -> dict[str, Any]:
        return {"channels": self.channels, "size": list(self.size)}

    @property
    def example(self) -> Batch:
        """One real row, its inputs ``[1, C, H, W]``."""
        return next(whole(self.validation if len(self.validation) else self.test, 1))

    def sample(self, count: int) -> Batch:
        """At most this many training images, at equal distances, as a batch."""
        rows = self.teacher_rows.rows
        step = -(-len(rows) // count)
        return next(whole(rows.subset(torch.arange(0, len(rows), step)), count))

    @cached_property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, over at most 2,048 training rows at equal distances."""
        pixels = self.sample(_statistics_rows)["inputs"].double()
        deviation = pixels.std((0, 2, 3), correction=0)
        # A channel that never changes carries nothing: leave its scale alone.
        return pixels.mean((0, 2, 3)).tolist(), deviation.where(deviation > 0, 1.0).tolist()

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""
        labelled = self.student_rows.rows.labelled
        return {"training": int(labelled.sum()), "unlabelled": int((~labelled).sum())}

    def model(self, build: Callable[..., nn.Module], parts: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """A model for these images and classes, behind the normalization of the training rows."""
        net = build(channels=self.channels, classes=len(self.classes), size=self.size)
        return Normalized(net, *self.statistics)

    def alone(self, inputs: Address) -> tuple[Self, Address]:
        """The same: all models see the same images."""
        return self, inputs

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one image into logits."""
        check_forward(label, model, self.channels, len(self.classes), self.size)

    def batches(
        self,
        training: TrainingRows,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        world: int,
        views: int | None = None,
        cached: CachedRows | None = None,
    ) -> tuple[Batches, int]:
        """The batches that a model trains on, and how many make an epoch."""
        plan = planned(training, self.settings, batch_size=batch_size, seed=seed)
        workers = self.settings.workers
        batches = Batches(
            training.rows,
            plan,
            self.augment,
            seed=seed if views is None else _views_seed,
            workers=workers,
            rank=rank,
            world=world,
            views=views,
            cached=cached,
        )
        return batches, plan.steps_per_epoch

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches, and the normalization of the models that read them."""
        return {
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "labelled_share": self.settings.labelled_share,
            "class_balance": self.settings.class_balance,
            "augment": self.settings.augment,
            "statistics": self.statistics,
        }

    @property
    def looks(self) -> int | None:
        return None if self.augment.changes else 1

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows that caches are made of."""
        augment = None if views is None else {**(self.settings.augment or {}), "seed": _views_seed}
        return {"images": training.rows.images.digest(), "augment": augment}

    def evaluation(self, rows: ImageSet) -> Iterator[Batch]:
        """Rows in order, as they are."""
        return whole(rows, _evaluation_batch, workers=self.settings.workers)

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The metric that decides, on the validation rows, for a model in eval mode."""
        logits, target = self.logits(partial(logits_of, model, inputs=inputs), self.validation)
        return dict(main_score(self.scoring, logits, target))

    def logits(self, read: Callable[[Batch], Tensor], rows: ImageSet) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The logits ``[N, C]`` and targets ``[N]`` of all rows; ``read`` turns a batch into logits."""
        logits, target = [], []
        for batch in self.evaluation(rows):
            logits.append(read(batch).double().cpu())
            target.append(batch["target"])
        return torch.cat(logits).numpy(), torch.cat(target).numpy()

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section as it is."""
        return spec

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Nothing: weights and config.json say all."""
        return {}

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file that takes ``image``."""
        added = {"input_range": "0..1", **metadata}
        export_onnx(model, file, example=self.example["inputs"], classes=self.classes, metadata=added)
