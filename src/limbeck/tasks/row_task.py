"""What the tasks on tables and images have in common: one tensor of inputs per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import resolve
from limbeck.data import Augment, ImageSet, TableSet
from limbeck.export import export_onnx
from limbeck.files import write_text
from limbeck.models import (
    SklearnModule,
    Trees,
    content_hash,
    is_estimator,
    sklearn_part,
    tree_text,
)
from limbeck.tasks.batch_source import Batch, BatchSource
from limbeck.tasks.estimators import class_columns, fit_estimator, identified, is_fitted, predicted
from limbeck.tasks.image_inputs import ImageInputs, ImageSettings
from limbeck.tasks.splits import TrainingRows, planned
from limbeck.tasks.table_inputs import TableInputs
from limbeck.tasks.task import Task

__all__ = ["RowTask"]


class RowTask(Task):
    """The rows of a table, or images, with a target for each.

    A task states `outputs`, `scoring`, and what stands behind the network in `complete`.

    Args:
        source: row sets of tables or of images.
        settings: how to split them, and how to augment images.
        unlabelled: row sets of a source of further rows.
        test_from: row sets of the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, or those of another source do not fit.
    """

    Settings: ClassVar[type] = ImageSettings
    sections: ClassVar[Mapping[str, type]] = MappingProxyType({"augment": Augment})
    supplied: ClassVar[tuple[str, ...]] = ("channels", "classes", "size")

    def __init__(
        self,
        source: Mapping[str, TableSet | ImageSet],
        settings: ImageSettings,
        *,
        unlabelled: Mapping[str, Any] | None = None,
        test_from: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(source, settings, unlabelled=unlabelled, test_from=test_from)
        rows = self.teacher_rows.rows
        kind: Any = ImageInputs if isinstance(rows, ImageSet) else TableInputs
        self.inputs: ImageInputs | TableInputs = kind(rows, settings)
        self._estimators: dict[str, tuple[Any, Any]] = {}

    def complete(self, net: nn.Module) -> nn.Module:
        """The network behind the encoding of its inputs, with what stands behind it."""
        return self.inputs.wrap(net)

    @property
    def output_count(self) -> int:
        """The number of outputs of a network."""
        return len(self.names)

    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """A model for these rows: a network behind the encoding of its inputs, or an estimator of rows as they are.

        Raises:
            ArgumentError: if an estimator does not fit the data.
        """
        made = make(classes=self.output_count, **self.inputs.options)
        return self.from_estimator(made) if is_estimator(made) else self.complete(made)

    def from_estimator(self, estimator: Any) -> nn.Module:
        """A model that predicts what an estimator does; one that is not fitted yet is fitted to the teacher's rows.

        It reads columns in their own units and categories by their names, or pixels.
        """
        fitted = estimator if is_fitted(estimator) else self._fitted(estimator)
        columns = self.columns_of(fitted)
        model = identified(
            fitted,
            self.inputs.rows_of(fitted),
            self._inputs_of_all_rows(),
            columns=columns,
            outputs=self.estimator_outputs,
        )
        for inputs in self._hardest_rows():
            predicted(model, inputs)
        return model

    @property
    def estimator_outputs(self) -> int:
        """The number of outputs of an estimator; 0 for one number without an axis of its own."""
        return self.output_count

    def columns_of(self, estimator: Any) -> list[int] | None:
        """The places of an estimator's classes among those of the data; None where it predicts numbers.

        Raises:
            ArgumentError: if it knows others, or gives no probabilities.
        """
        return class_columns(estimator, self.names)

    def _fitted(self, estimator: Any) -> Any:
        """A copy that is fitted to the labelled rows of the teacher; the same for estimators of the same content."""
        key = content_hash(estimator) or f"object {id(estimator)}"
        if key not in self._estimators:
            rows, target = self.teacher_rows.rows, self.teacher_rows.rows.target
            is_known = (~target.isnan() if target.is_floating_point() else target >= 0).reshape(len(rows), -1).all(1)
            numbers = is_known.nonzero()[:, 0]
            labels = target[numbers].numpy()
            fitted = fit_estimator(
                estimator,
                self.inputs.rows_of(estimator)(self.read(rows, numbers)["inputs"].numpy()),
                np.array(self.names)[labels] if labels.dtype.kind == "i" else labels.astype(np.float64),
            )
            # With the estimator, so that no other object gets its number.
            self._estimators[key] = (estimator, fitted)
        return self._estimators[key][1]

    def _inputs_of_all_rows(self) -> Iterator[Tensor]:
        for rows in (self.teacher_rows.rows, self.student_rows.rows, self.validation, self.test):
            for batch in self.evaluation(rows):
                yield batch["inputs"]

    def _hardest_rows(self) -> Iterator[Tensor]:
        """A row as most are, and one with a missing value if there is one."""
        yield self.example["inputs"]
        for inputs in self._inputs_of_all_rows() if isinstance(self.test, TableSet) else ():
            lacking = inputs.isnan().any(1)
            if lacking.any():
                yield inputs[lacking][:1]
                return

    def collate(self, rows: Any, numbers: Tensor, views: Tensor) -> Batch:
        """The inputs of these rows as they are, and their targets."""
        return {"inputs": self.inputs.collate(rows, numbers, views), "target": rows.target[numbers]}

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
    ) -> tuple[BatchSource, int]:
        """The batches that a model trains on, and the number of steps per epoch."""
        plan = planned(training, self.settings, batch_size=batch_size, seed=seed)
        batches = self.inputs.batches(
            training, plan, self.collate, seed=seed, rank=rank, world=world, views=views, cached=cached
        )
        return batches, plan.steps_per_epoch

    @property
    def num_views(self) -> int | None:
        return self.inputs.num_views

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the views of the rows that caches hold."""
        return self.inputs.views_key(training, views)

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches, and the encoding of the models that read them."""
        return {**super().key(training), **self.inputs.key}

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows in order, as they are."""
        return self.inputs.evaluation(rows, self.collate)

    @property
    def input(self) -> Mapping[str, Any]:
        return self.inputs.input

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write ``tree.txt`` beside a model that is one decision tree, or one for each number that it predicts."""
        part = sklearn_part(model)
        if part is None or not isinstance(part.model, Trees) or not self._is_readable(part):
            return {}
        trees = part.model
        titles = [f"# {title}" for title in self.tree_titles]
        text = tree_text(trees, self.inputs.branch, partial(self.leaf_text, model, part), titles)
        write_text(folder / "tree.txt", f"# {self.inputs.missing}\n\n{text}")
        return {"tree": "tree.txt"}

    def _is_readable(self, part: SklearnModule) -> bool:
        trees = part.model
        assert isinstance(trees, Trees)
        return trees.trees == len(self.tree_titles) and (trees.probabilities or part.predicts_numbers)

    @property
    def tree_titles(self) -> Sequence[str]:
        """What each tree of a model predicts that has one for each of its outputs."""
        return ("the probability of each class",)

    def leaf_text(self, model: nn.Module, part: SklearnModule, tree: int, leaf: Tensor) -> str:
        """What a leaf predicts, in words: by default the probabilities of classes, the largest first.

        Args:
            model: that the tree is a part of.
            part: the fitted part with the tree.
            tree: its number.
            leaf: what stands in the leaf, ``[classes]``.
        """
        probabilities = (leaf.clamp(min=1e-6).log() * part.temperature).softmax(0).tolist()
        named = sorted(zip(self.names, probabilities, strict=True), key=lambda pair: -pair[1])
        return ", ".join(f"{name} {probability:.4f}" for name, probability in named)

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file."""
        outputs = self.outputs
        export_onnx(
            model,
            file,
            example=resolve({"batch": self.example}, "batch.inputs"),
            inputs={self.inputs.name: self.delivery.inputs.get(self.inputs.name, "")},
            outputs={name: spec.export_axes for name, spec in outputs.items()},
            names={
                **{name: spec.names for name, spec in outputs.items() if spec.names is not None},
                **self.inputs.names,
            },
            metadata={**self.inputs.metadata, **metadata},
        )
