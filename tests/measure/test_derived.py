"""Functions of metrics: forgetting over a matrix of accuracies, against resampled rows."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.errors import ArgumentError
from limbeck.measure import (
    Derived,
    Evaluator,
    Floats,
    Integers,
    Labels,
    MetricInfo,
    OfMeans,
    Outputs,
    Resamples,
    Scoring,
    final_average,
    forgetting,
    interval,
)
from refusals import refused

RANDOM = np.random.default_rng(0)
ROWS, TASKS, SEEDS = 80, 3, 2
TARGET, TASK = RANDOM.integers(0, 4, ROWS), np.arange(ROWS) % TASKS
MODELS = [f"after_{number}" for number in range(TASKS)]
METRICS = [f"accuracy_{number}" for number in range(TASKS)]


class AccuracyOfTask(OfMeans):
    """The accuracy on the rows of one task."""

    is_share = True
    bounds = (0.0, 1.0)

    def __init__(self, task: int) -> None:
        self.task = task
        self.title = f"accuracy on task {task}"

    @property
    def name(self) -> str:
        return METRICS[self.task]

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        own = labels["task"] == self.task
        return np.stack([own & (outputs["logits"].argmax(1) == labels["target"]), own], axis=1).astype(np.float64)

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(means[..., 0] / means[..., 1], np.float64)


def made() -> dict[str, list[Floats]]:
    """Models that know the tasks so far, the older ones less and less."""
    skill = {name: np.where(at >= TASK, 3.0 / (1 + at - TASK).clip(1), 0.0) for at, name in enumerate(MODELS)}
    return {
        name: [RANDOM.normal(size=(ROWS, 4)) + one[:, None] * np.eye(4)[TARGET] for _ in range(SEEDS)]
        for name, one in skill.items()
    }


LOGITS = made()


def evaluator() -> Evaluator:
    found = Evaluator(Scoring(hard={}, metrics=tuple(map(AccuracyOfTask, range(TASKS)))), draws=150)
    for name, seeds in LOGITS.items():
        for seed, logits in enumerate(seeds):
            found.update(name, seed, {"logits": logits}, {"target": TARGET, "task": TASK})
    return found


def matrix(seed: int, rows: Integers) -> Floats:
    """The accuracy on each task after each task."""
    right = np.stack([LOGITS[name][seed][rows].argmax(1) == TARGET[rows] for name in MODELS])
    return np.array([[one[TASK[rows] == task].mean() for task in range(TASKS)] for one in right])


def forgotten(seed: int, rows: Integers) -> float:
    accuracy = matrix(seed, rows)
    return float(np.mean([max(accuracy[at, task] for at in range(TASKS - 1)) - accuracy[-1, task] for task in (0, 1)]))


def test_intervals_are_those_of_the_function_on_resampled_rows() -> None:
    found = evaluator().result(derived=[forgetting(MODELS, METRICS), final_average(MODELS, METRICS)])
    drawn = [np.repeat(np.arange(ROWS), count) for count in Resamples(ROWS, draws=150).counts]
    for name, brute in (("forgetting", forgotten), ("final_average", lambda seed, rows: matrix(seed, rows)[-1].mean())):
        values = np.array([brute(seed, np.arange(ROWS)) for seed in range(SEEDS)])
        draws = np.array([[brute(seed, rows) for rows in drawn] for seed in range(SEEDS)])
        expected = interval(values, draws, bounds=(-1.0, 1.0))
        one = found.derived[name]
        assert (one.value, one.low, one.high) == pytest.approx((expected.value, expected.low, expected.high))
        assert one.scope == "rows+seeds"


def test_the_matrix_of_accuracies_is_in_the_metrics_of_the_models() -> None:
    found = evaluator().result()
    values = [[found.models[model].metrics[metric].value for metric in METRICS] for model in MODELS]
    expected = np.mean([matrix(seed, np.arange(ROWS)) for seed in range(SEEDS)], axis=0)
    assert np.array(values) == pytest.approx(expected)


def test_they_are_described_in_json() -> None:
    plain = evaluator().result(derived=[forgetting(MODELS, METRICS)]).to_json()
    assert plain["metrics"]["forgetting"]["higher_is_better"] is False
    assert set(plain["derived"]["forgetting"]) == {"value", "low", "high"}
    assert "derived" not in evaluator().result().to_json()


def test_unknown_models_and_metrics_are_refused() -> None:
    info = MetricInfo("sum", "sum")
    for of, message in (
        ([("after_0", "accuracy_0"), ("after_9", "accuracy_0")], "no model 'after_9'"),
        ([("after_0", "accuracy_9")], "sum reads 'accuracy_9' of 'after_0', which has none"),
    ):
        with pytest.raises(ArgumentError, match=message):
            evaluator().result(derived=[Derived(info, of, lambda values: values.sum(axis=0))])
    with refused(ArgumentError, "mismatch", "models"):
        forgetting(MODELS, METRICS[:2])
