"""A parsed recipe: every section checked, every default written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.recipes.cache_settings import CacheSettings, CacheSpec
from limbeck.recipes.data_sources import DataSpec
from limbeck.recipes.entry_spec import EntrySpec
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.options import plain
from limbeck.recipes.term_spec import Objective
from limbeck.tasks import Task
from limbeck.training.settings import Settings

__all__ = ["SCHEMA", "ExportSettings", "MeasureSettings", "Recipe"]

SCHEMA = 1
"""The version of recipes that is read."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """``measure:``.

    ``draws``: of the bootstrap over the test rows.
    ``metrics``: the names of registered metrics, of which the first decides; those of the task if null.
    ``seconds``: about how long each latency and each throughput of a model is measured.
    """

    draws: int = 2000
    metrics: tuple[str, ...] | None = None
    seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.draws < 100:
            raise ArgumentError(f"draws is {self.draws}; a 95% interval needs at least 100", path="draws")
        if self.seconds < 0:
            raise ArgumentError(f"seconds is {self.seconds}; it must not be negative", path="seconds")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """``export:``. ``tolerance``: the largest difference between a logit of the file and of the model.

    ``formats``: ``onnx``, and ``int8`` for a second file with weights in 8 bits.
    ``exits``: those of the student that are exported too, each as a model that ends there.
    """

    formats: tuple[Literal["onnx", "int8"], ...] = ("onnx",)
    tolerance: float = 1e-4
    exits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "int8" in self.formats and "onnx" not in self.formats:
            raise ArgumentError(
                "formats has int8 without onnx, from which it is made; write [onnx, int8]",
                code="missing",
                path="formats",
            )
        if not self.tolerance > 0:
            raise ArgumentError(f"tolerance is {self.tolerance}; it must be above 0", path="tolerance")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a recipe says.

    Args:
        name: of the run.
        task: by its name in the registry.
        data: the rows.
        models: the sections under ``models``, by name.
        objective: the terms of the student.
        balance: how they are weighed beside their own weights.
        cache: how teachers are cached.
        train: the training of the student and its control.
        protocol: adds stages to the run.
        compress: the steps that make the student smaller.
        control: whether a control is trained.
        seeds: the number of students.
        measure: how models are measured.
        export: which files are written.
    """

    name: str
    task: str
    data: DataSpec
    models: Mapping[str, ModelSpec]
    objective: Objective
    balance: EntrySpec | None
    cache: CacheSpec
    train: Settings
    protocol: EntrySpec | None
    compress: Sequence[EntrySpec]
    control: bool
    seeds: int
    measure: MeasureSettings
    export: ExportSettings

    @property
    def task_type(self) -> type[Task]:
        """The class of the task."""
        task: type[Task] = registry.lookup("task", self.task)
        return task

    @property
    def student(self) -> ModelSpec:
        """The section of the student."""
        return self.models["student"]

    def to_dict(self) -> dict[str, Any]:
        """As a file has it, every default written out."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "task": self.task,
            "data": self.data.to_dict(),
            "models": {name: spec.to_dict() for name, spec in self.models.items()},
            "objective": {name: term.to_dict() for name, term in self.objective.items()},
            "balance": None if self.balance is None else self.balance.to_dict(),
            "cache": plain(asdict(self.cache)) if isinstance(self.cache, CacheSettings) else self.cache,
            "train": asdict(self.train),
            "protocol": None if self.protocol is None else self.protocol.to_dict(),
            "compress": [step.to_dict() for step in self.compress],
            "control": self.control,
            "seeds": self.seeds,
            "measure": plain(asdict(self.measure)),
            "export": plain(asdict(self.export)),
        }
