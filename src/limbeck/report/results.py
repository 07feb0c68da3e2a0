"""The shape of results.json, as the report reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from limbeck.errors import RunError
from limbeck.report.formatting import sentence_case
from limbeck.report.metric_description import MetricDescription

__all__ = [
    "Bin",
    "Comparison",
    "Cost",
    "Estimate",
    "Export",
    "Latency",
    "ModelResult",
    "Results",
    "TaskDescription",
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
    objective: str = ""
    """What a model minimizes that was fitted at once, as the rest of a sentence."""
    tree: str = ""
    """The file in the run that holds the model as a readable decision tree."""

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


class TaskDescription(BaseModel):
    """What a task says about its models.

    Args:
        input: what a model takes, such as "8×8 pixels, 1 channel".
        output: what it gives, such as "10 classes".
        row: one example of the data, such as "image".
        label: what a labelled row has, such as "class".
        decision: what one prediction is made for, such as "word" where a row is a sentence; a row if empty.
        snippet: lines of Python that run the exported file.
        command: a command line that does the same.
        limits: sentences about what the output cannot say.
        pipeline_tag: the task's name on the Hugging Face hub.
    """

    input: str
    output: str
    row: str = "row"
    label: str = "label"
    decision: str = ""
    snippet: str = ""
    command: str = ""
    limits: list[str] = Field(default_factory=list)
    pipeline_tag: str = ""


class Results(BaseModel):
    version: Literal[1] = Field(alias="schema")
    recipe: str
    task: str
    task_description: TaskDescription
    classes: list[str] = Field(default_factory=list)
    test_rows: int | None = None
    seeds: list[int] = Field(default_factory=list)
    teachers: list[str] = Field(default_factory=lambda: ["teacher"])
    metric: str
    metrics: dict[str, MetricDescription]
    label_budget: dict[str, int | None] = Field(default_factory=dict)
    models: dict[str, ModelResult] = Field(min_length=1)
    comparisons: list[Comparison] = Field(default_factory=list)
    export: Export | None = None
    verdict: str = ""

    @property
    def main(self) -> MetricDescription:
        """The metric that decides."""
        return self.metrics[self.metric]

    @property
    def measured(self) -> list[str]:
        """The metrics that some model has: first the one that decides, then the others in the order of the file."""
        names = [name for model in self.models.values() for name in model.metrics]
        return [self.metric, *(name for name in dict.fromkeys(names) if name != self.metric)]

    @property
    def reference(self) -> str | None:
        """The teacher that the student is compared with."""
        return self.teachers[0] if self.teachers else None

    @property
    def fitted(self) -> list[str]:
        """One sentence for each model that was fitted at once: what it minimizes, and where it stands as text."""
        sentences = []
        for name, model in self.models.items():
            if model.objective:
                readable = f" It is one readable decision tree: {model.tree}." if model.tree else ""
                sentences.append(f"{sentence_case(title(name))} {model.objective}.{readable}")
        return sentences

    @property
    def task_title(self) -> str:
        return self.task.replace("_", " ")

    @property
    def decision(self) -> str:
        """What one prediction is made for."""
        return self.task_description.decision or self.task_description.row


def parse_results(raw: Mapping[str, Any]) -> Results:
    """The checked content of results.json, its models in the order of the report.

    Raises:
        RunError: if a field is missing or of another type, or a metric has no description; the message names it.

    >>> task = {"input": "8×8 pixels, 1 channel", "output": "10 classes"}
    >>> metrics = {"accuracy": {"title": "accuracy", "higher_is_better": True, "is_share": True}}
    >>> models = {"student": {}, "teacher": {}}
    >>> raw = {"schema": 1, "recipe": "digits", "task": "image_classification", "task_description": task}
    >>> list(parse_results(raw | {"metric": "accuracy", "metrics": metrics, "models": models}).models)
    ['teacher', 'student']
    """
    try:
        results = Results.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise RunError(
            f"results.json cannot be used: {where}: {first['msg']}; run the recipe again",
            code="damaged",
            path="results.json",
        ) from None
    undescribed = {*results.measured, *(one.metric for one in results.comparisons)} - set(results.metrics)
    if undescribed:
        raise RunError(
            f"results.json cannot be used: metrics: no description of {', '.join(sorted(undescribed))}; "
            "run the recipe again",
            code="damaged",
            path="results.json",
        )
    order = dict.fromkeys([*results.teachers, *_ORDER, *results.models])
    results.models = {name: results.models[name] for name in order if name in results.models}
    results.metrics = {name: one.scaled_to(_values(results, name)) for name, one in results.metrics.items()}
    return results


def _values(results: Results, metric: str) -> list[float | None]:
    return [model.metric(metric).value for model in results.models.values()]


def title(name: str) -> str:
    """A model's name as the reader sees it.

    >>> title("exported"), title("student_pruned")
    ('exported student', 'student pruned')
    """
    return _TITLES.get(name, name.replace("_", " "))
