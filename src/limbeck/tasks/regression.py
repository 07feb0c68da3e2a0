"""Regression: one or several numbers for each row of a table or each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.data import FloatLabels, ImageSet, TableSet
from limbeck.data.labels import FloatTarget
from limbeck.errors import ArgumentError
from limbeck.export import Delivery
from limbeck.measure import Scoring, regression_scoring
from limbeck.models import SklearnModule, Trees, Values, is_estimator, predict_numbers_
from limbeck.registry import register
from limbeck.tasks.descriptions import TaskDescription
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.row_task import RowTask

__all__ = ["Regression"]


@register("task", "regression")
class Regression(RowTask):
    """Numbers with a unit, for rows of tables or for images; NaN where a number is not known.

    Models predict in the unit of the labels: their outputs are scaled by mean and standard deviation of the labels that
    the student may see.
    """

    row_type: ClassVar = (TableSet, ImageSet)
    label_type: ClassVar = FloatLabels
    main_output: ClassVar = "value"
    delivery: ClassVar = Delivery(
        formats=("onnx", "int8"),
        inputs={"image": "values in 0..1", "features": "numbers as they are, then codes of categories"},
    )

    @property
    def targets(self) -> tuple[FloatTarget, ...]:
        """The names and units of the numbers."""
        targets: tuple[FloatTarget, ...] = self.test.targets
        return targets

    @property
    def is_single(self) -> bool:
        """Whether a row has one number without an axis of its own."""
        return bool(self.test.target.ndim == 1)

    @property
    def output_count(self) -> int:
        return 1 if self.is_single else int(self.test.target.shape[1])

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """The predicted numbers, in the unit of the labels."""
        if self.is_single:
            return {"value": OutputSpec(("row",))}
        return {"value": OutputSpec(("row", "target"), names=[target.name for target in self.targets])}

    @cached_property
    def scoring(self) -> Scoring:
        """Errors in the unit of the labels; the RMSE decides."""
        names = () if self.is_single else tuple(target.name for target in self.targets)
        units = {target.unit for target in self.targets}
        return regression_scoring(names, unit=units.pop() if len(units) == 1 else "")

    @cached_property
    def _scale(self) -> tuple[list[float], list[float]]:
        target: Tensor = self.labelled_rows.rows.target.double().reshape(-1, self.output_count)
        count = (~target.isnan()).sum(0).clamp(min=1)
        mean = target.nan_to_num().sum(0) / count
        std = (((target - mean) ** 2).nan_to_num().sum(0) / count).sqrt()
        return mean.tolist(), std.where(std > 0, torch.ones_like(std)).tolist()

    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """A model of numbers for these rows, behind the encoding of its inputs."""

        def numbers(**supplied: Any) -> nn.Module:
            net = make(**supplied)
            if is_estimator(net):
                return net
            try:
                return predict_numbers_(net, self.output_count)
            except ArgumentError as error:
                raise ArgumentError(f"models.{role}: {error}") from error

        return super().build(numbers, role, parts)

    @property
    def estimator_outputs(self) -> int:
        return 0 if self.is_single else self.output_count

    def columns_of(self, estimator: Any) -> list[int] | None:
        """None: it predicts numbers."""
        return None

    def complete(self, net: nn.Module) -> nn.Module:
        """The network behind the encoding of its inputs; its outputs in the unit of the labels."""
        return Values(self.inputs.wrap(net), *self._scale, single=self.is_single)

    @property
    def tree_titles(self) -> Sequence[str]:
        return [self._named(target) for target in self.targets] or ["the number"]

    @staticmethod
    def _named(target: FloatTarget) -> str:
        return f"{target.name} in {target.unit}" if target.unit else target.name

    def leaf_text(self, model: nn.Module, part: SklearnModule, tree: int, leaf: Tensor) -> str:
        """The number of a leaf in its unit."""
        assert isinstance(model, Values)
        assert isinstance(part.model, Trees)
        # The mean runs over the trees of all numbers.
        standardized = (leaf[tree] / part.model.trees * part.temperature).item()
        unit = self.targets[tree].unit if self.targets else ""
        return f"{model.mean[tree].item() + model.std[tree].item() * standardized:.7g} {unit}".rstrip()

    def key(self, training: Any) -> dict[str, Any]:
        """What decides these batches, and the scales of the models that read them."""
        return {**super().key(training), "labels": self._scale}

    @property
    def description(self) -> TaskDescription:
        """Rows or images, and the numbers to predict."""
        named = [self._named(target) for target in self.targets]
        row = "image" if isinstance(self.test, ImageSet) else "row"
        return TaskDescription(
            input=self.inputs.description,
            output=", ".join(named) or "one number",
            row=row,
            label="number",
            command="limbeck predict . image.png" if row == "image" else "limbeck predict . 1.5,2,0",
            limits=["The model predicts a number for every input, also far from all training rows."],
            pipeline_tag="image-regression" if row == "image" else "tabular-regression",
        )
