"""Regression: one or several numbers for each row of a table or each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core import Distiller
from limbeck.data import FloatLabels, ImageSet, TableSet
from limbeck.data.labels import FloatTarget
from limbeck.errors import ArgumentError
from limbeck.export import Delivery
from limbeck.losses import check_quantiles
from limbeck.measure import Scoring, regression_scoring
from limbeck.models import (
    SklearnModule,
    Trees,
    Values,
    WithoutQuantiles,
    is_estimator,
    predict_numbers_,
    sklearn_part,
)
from limbeck.registry import register
from limbeck.tasks.descriptions import TaskDescription
from limbeck.tasks.image_inputs import ImageSettings
from limbeck.tasks.number_terms import check_number_terms
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.row_task import RowTask

__all__ = ["Regression", "RegressionSettings"]


@dataclass(frozen=True, kw_only=True)
class RegressionSettings(ImageSettings):
    """The settings of the rows of a regression: those of `ImageSettings`, and

    Args:
        quantiles: the levels of quantiles that networks predict beside the value, ascending between 0 and 1, 0.5 among
            them: the median is the value. None if empty.
    """

    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.quantiles:
            levels = check_quantiles("quantiles", self.quantiles)
            if 0.5 not in levels:
                raise ArgumentError(
                    f"quantiles are {list(levels)}; add 0.5, the median, which is the predicted value",
                    code="missing",
                    path="quantiles",
                )


@register("task", "regression")
class Regression(RowTask):
    """Numbers with a unit, for rows of tables or for images; NaN where a number is not known.

    With ``quantiles``, networks predict those too, by the loss `pinball`; the value is the median.

    Models predict in the unit of the labels: their outputs are scaled by mean and standard deviation of the labels that
    the student may see.
    """

    row_type: ClassVar = (TableSet, ImageSet)
    label_type: ClassVar = FloatLabels
    main_output: ClassVar = "value"
    Settings: ClassVar = RegressionSettings
    delivery: ClassVar = Delivery(
        formats=("onnx", "int8"),
        predictor="limbeck.export.predictors.numbers:predict",
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
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles that networks predict; none if they predict the value alone."""
        return tuple(getattr(self.settings, "quantiles", ()))

    @property
    def target_count(self) -> int:
        """The number of numbers of a row."""
        return 1 if self.is_single else int(self.test.target.shape[1])

    @property
    def output_count(self) -> int:
        return self.target_count * (len(self.levels) or 1)

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """The predicted numbers, in the unit of the labels, and their quantiles; NaN where a model gives none."""
        axes = ("row",) if self.is_single else ("row", "target")
        value = OutputSpec(axes, names=None if self.is_single else [target.name for target in self.targets])
        if not self.levels:
            return {"value": value}
        return {
            "value": value,
            "quantiles": OutputSpec((*axes, "quantile"), names=list(map(str, self.levels)), fixed=axes[1:]),
        }

    @cached_property
    def scoring(self) -> Scoring:
        """Errors in the unit of the labels; the RMSE decides."""
        names = () if self.is_single else tuple(target.name for target in self.targets)
        units = {target.unit for target in self.targets}
        return regression_scoring(names, unit=units.pop() if len(units) == 1 else "", quantiles=self.levels)

    @property
    def fitted_hard(self) -> Mapping[str, Any]:
        """The squared error, also where networks learn quantiles."""
        return {"hard": {"loss": "squared_error"}}

    @cached_property
    def _scale(self) -> tuple[list[float], list[float]]:
        target: Tensor = self.labelled_rows.rows.target.double().reshape(-1, self.target_count)
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
            if self.levels and role == "student" and sklearn_part(net) is not None:
                raise ArgumentError(
                    "models.student: it is fitted at once to squared errors and gives no quantiles; take mlp or "
                    "linear, or remove data.quantiles",
                    code="unsupported",
                    path="models.student",
                )
            try:
                return predict_numbers_(net, self.target_count)
            except ArgumentError as error:
                raise ArgumentError(f"models.{role}: {error}", code=error.code, path=f"models.{role}") from error

        return super().build(numbers, role, parts)

    @property
    def estimator_outputs(self) -> int:
        return 0 if self.is_single else self.target_count

    def from_estimator(self, estimator: Any) -> nn.Module:
        """A model that predicts what an estimator does, without quantiles."""
        return self._without_quantiles(super().from_estimator(estimator))

    def _without_quantiles(self, model: nn.Module) -> nn.Module:
        return WithoutQuantiles(model, len(self.levels)) if self.levels else model

    def check_distiller(self, distiller: Distiller) -> None:
        """Refuse losses of class scores, and those of other quantiles than the models predict.

        Raises:
            ArgumentError: with the name of the term.
        """
        check_number_terms(distiller.terms, self.outputs, self.levels)

    def columns_of(self, estimator: Any) -> list[int] | None:
        """None: it predicts numbers."""
        return None

    def complete(self, net: nn.Module) -> nn.Module:
        """The network behind the encoding of its inputs; its outputs in the unit of the labels."""
        whole, is_fitted = self.inputs.wrap(net), sklearn_part(net) is not None
        model = Values(whole, *self._scale, single=self.is_single, levels=() if is_fitted else self.levels)
        return self._without_quantiles(model) if is_fitted else model

    @property
    def tree_titles(self) -> Sequence[str]:
        return [self._named(target) for target in self.targets] or ["the number"]

    @staticmethod
    def _named(target: FloatTarget) -> str:
        return f"{target.name} in {target.unit}" if target.unit else target.name

    def leaf_text(self, model: nn.Module, part: SklearnModule, tree: int, leaf: Tensor) -> str:
        """The number of a leaf in its unit."""
        model = model.model if isinstance(model, WithoutQuantiles) else model
        assert isinstance(model, Values)
        assert isinstance(part.model, Trees)
        # The mean runs over the trees of all numbers.
        standardized = (leaf[tree] / part.model.trees * part.temperature).item()
        unit = self.targets[tree].unit if self.targets else ""
        return f"{model.mean[tree].item() + model.std[tree].item() * standardized:.7g} {unit}".rstrip()

    def key(self, training: Any) -> dict[str, Any]:
        """What decides these batches, and the scales of the models that read them."""
        levels = {"quantiles": self.levels} if self.levels else {}
        return {**super().key(training), "labels": self._scale, **levels}

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
