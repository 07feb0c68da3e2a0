"""The shape of results.json, as the report reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from limbeck.errors import RunError
from limbeck.report.inputs import Input, TextInput

__all__ = [
    "Bin",
    "Comparison",
    "Cost",
    "Estimate",
    "Export",
    "Latency",
    "ModelResult",
    "Results",
    "parse_results",
    "title",
]

_ORDER = ("control", "student", "exported", "int8")
_TITLES = {"exported": "exported student", "int8": "exported student, INT8"}

Scope = Literal["rows", "rows+seeds"]


class Estimate(BaseModel):
    """A value with its 95% interval; any of the three may be unknown."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Latency(BaseModel):
    """Milliseconds for one row: the median and the quartiles around it."""

    median: float | None = None
    low: float | None = None
    high: float | None = None
    threads: int | None = None


class Throughput(BaseModel):
    rows_per_second: float | None = None
    batch: int | None = None


class Cost(BaseModel):
    parameters: float | None = None
    flops: float | None = None
    bytes: float | None = None
    latency_ms: Latency | None = None
    throughput: Throughput | None = None


class SeedResult(BaseModel):
    seed: int
    metrics: dict[str, float | None] = Field(default_factory=dict)


class Bin(BaseModel):
    """One bin of a reliability diagram."""

    low: float
    high: float
    count: int
    confidence: float | None = None
    accuracy: float | None = None


class ModelResult(BaseModel):
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    scope: Scope = "rows"
    cost: Cost = Field(default_factory=Cost)
    seeds: list[SeedResult] = Field(default_factory=list)
    reliability: list[Bin] = Field(default_factory=list)
    confusion: list[list[float]] = Field(default_factory=list)

    @field_validator("confusion")
    @classmethod
    def _square(cls, matrix: list[list[float]]) -> list[list[float]]:
        if any(len(row) != len(matrix) for row in matrix):
            raise ValueError(f"{len(matrix)} rows of {sorted({len(row) for row in matrix})} columns, expected a square")
        return matrix

    def metric(self, name: str) -> Estimate:
        """The estimate under this name, or one in which all is unknown."""
        return self.metrics.get(name, Estimate())


class Comparison(BaseModel):
    a: str
    b: str
    metric: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    scope: Scope = "rows"


class Int8(BaseModel):
    """The file with weights in 8 bits, and how far a probability is from the model's."""

    file: str
    bytes: float | None = None
    max_probability_difference: float | None = None
    rows: int | None = None


class Export(BaseModel):
    file: str
    model: str = "student"
    bytes: float | None = None
    max_difference: float | None = None
    tolerance: float | None = None
    rows: int | None = None
    int8: Int8 | None = None


class Results(BaseModel):
    version: Literal[1] = Field(alias="schema")
    recipe: str
    task: str
    classes: list[str] = Field(default_factory=list)
    input: Input | None = None
    test_rows: int | None = None
    seeds: list[int] = Field(default_factory=list)
    teachers: list[str] = Field(default_factory=lambda: ["teacher"])
    metric: str = "accuracy"
    label_budget: dict[str, int | None] = Field(default_factory=dict)
    models: dict[str, ModelResult] = Field(min_length=1)
    comparisons: list[Comparison] = Field(default_factory=list)
    export: Export | None = None
    verdict: str = ""

    @property
    def reference(self) -> str | None:
        """The teacher that the student is compared with."""
        return self.teachers[0] if self.teachers else None

    @property
    def judged(self) -> str:
        """What has one class."""
        return "row" if self.input is None else self.input.judged

    @property
    def several(self) -> bool:
        """Whether a row may have any number of classes."""
        return isinstance(self.input, TextInput) and self.input.several


def parse_results(raw: Mapping[str, Any]) -> Results:
    """The checked content of results.json, its models in the order of the report.

    Raises:
        RunError: if a field is missing or of another type; the message names the first such field.

    >>> models = {"student": {}, "teacher": {}}
    >>> raw = {"schema": 1, "recipe": "digits", "task": "image_classification", "models": models}
    >>> list(parse_results(raw).models)
    ['teacher', 'student']
    """
    try:
        results = Results.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise RunError(f"results.json cannot be used: {where}: {first['msg']}; run the recipe again") from None
    order = dict.fromkeys([*results.teachers, *_ORDER, *results.models])
    results.models = {name: results.models[name] for name in order if name in results.models}
    return results


def title(name: str) -> str:
    """A model's name as the reader sees it.

    >>> title("exported"), title("student_pruned")
    ('exported student', 'student pruned')
    """
    return _TITLES.get(name, name.replace("_", " "))
