"""Evaluation batch by batch: rows in any order, units, any metrics, kept outputs and stored statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limbeck.errors import ArgumentError
from limbeck.measure import (
    Accumulator,
    Accuracy,
    Evaluator,
    Floats,
    Integers,
    MicroF1,
    Resamples,
    Scoring,
    evaluate,
    interval,
    single_label_scoring,
    token_scoring,
)
from measure.custom_metrics import PrecisionOfBoxes, Spearman, precision_of_boxes, spearman
from refusals import refused

RANDOM = np.random.default_rng(0)
ROWS, CLASSES = 90, 6
TARGET = RANDOM.integers(0, CLASSES, ROWS)
LOGITS = {
    name: [RANDOM.normal(size=(ROWS, CLASSES)) + skill * np.eye(CLASSES)[TARGET] for _ in range(seeds)]
    for name, skill, seeds in (("teacher", 3, 1), ("control", 1, 2), ("student", 2, 2))
}
PAIRS = [("student", "control"), ("student", "teacher")]
VALUES = RANDOM.normal(size=(2, ROWS))
UNITS = RANDOM.integers(0, 25, ROWS)
CORRELATION = Scoring(hard={"hard": {"loss": "mse"}}, metrics=(Spearman(),))


def batches(size: int = 7) -> list[Integers]:
    """All rows in batches, in random order."""
    return np.split(RANDOM.permutation(ROWS), range(size, ROWS, size))


def test_batches_in_any_order_give_the_same_as_all_rows_at_once() -> None:
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=200)
    for name, seeds in LOGITS.items():
        for seed, logits in enumerate(seeds):
            for rows in batches():
                teacher = None if name == "teacher" else {"logits": LOGITS["teacher"][0][rows]}
                evaluator.update(name, seed, {"logits": logits[rows]}, {"target": TARGET[rows]}, teacher, rows)
    assert evaluator.result(PAIRS) == evaluate(LOGITS, TARGET, reference="teacher", comparisons=PAIRS, draws=200)


def test_batches_of_tokens_give_the_same_whatever_their_padding() -> None:
    lengths = RANDOM.integers(1, 9, ROWS)
    target = np.where(np.arange(8) < lengths[:, None], RANDOM.integers(0, 3, (ROWS, 8)), -100)
    logits = RANDOM.normal(size=(ROWS, 8, 3))
    scoring = token_scoring(("B-A", "I-A", "O"))
    evaluator = Evaluator(scoring, draws=100)
    for rows in np.split(np.argsort(lengths, kind="stable"), range(10, ROWS, 10)):
        longest = lengths[rows].max()
        evaluator.update("a", 0, {"logits": logits[rows, :longest]}, {"target": target[rows, :longest]}, rows=rows)
    assert evaluator.result() == evaluate({"a": [logits]}, target, scoring=scoring, draws=100)


@pytest.mark.parametrize("units", [None, UNITS], ids=["rows", "units"])
def test_intervals_of_any_metric_are_those_of_brute_force(units: Integers | None) -> None:
    labels = RANDOM.normal(size=ROWS)
    models = {"a": VALUES[0] + labels, "b": VALUES[1] + labels / 2}
    evaluator = Evaluator(CORRELATION, units=units, draws=150)
    for name, outputs in models.items():
        for rows in batches():
            evaluator.update(name, 0, {"value": outputs[rows]}, {"target": labels[rows]}, rows=rows)
    found = evaluator.result([("a", "b")])
    resamples = Resamples(ROWS if units is None else len(np.unique(units)), draws=150)
    members = [np.array([row]) for row in range(ROWS)]
    if units is not None:
        members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    drawn = [
        np.concatenate([rows for rows, count in zip(members, draw, strict=True) for _ in range(count)])
        for draw in resamples.counts
    ]
    values, each = {}, {}
    for name, outputs in models.items():
        values[name] = np.array([spearman(outputs, labels)])
        each[name] = np.array([[spearman(outputs[rows], labels[rows]) for rows in drawn]])
        expected = interval(values[name], each[name], bounds=(-1.0, 1.0))
        made = found.models[name].metrics["spearman"]
        assert (made.value, made.low, made.high) == pytest.approx((expected.value, expected.low, expected.high))
    expected = interval(values["a"] - values["b"], each["a"] - each["b"])
    made = found.comparison("a", "b", "spearman")
    assert (made.difference, made.low, made.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_a_unit_of_each_row_alone_changes_nothing_but_last_digits() -> None:
    plain = evaluate(LOGITS, TARGET, draws=200).models["student"].metrics
    alone = evaluate(LOGITS, TARGET, units=np.arange(ROWS), draws=200).models["student"].metrics
    for name, one in plain.items():
        assert (alone[name].low, alone[name].high) == pytest.approx((one.low, one.high), abs=1e-12)


def test_rows_of_one_unit_are_drawn_together() -> None:
    """Every row three times: three times the rows are no more certain."""
    thrice = {"student": [np.repeat(LOGITS["student"][0], 3, axis=0)]}
    target, units = np.repeat(TARGET, 3), np.repeat(np.arange(ROWS), 3)
    once = evaluate({"student": LOGITS["student"][:1]}, TARGET, draws=500).models["student"].metrics["accuracy"]
    found = evaluate(thrice, target, units=units, draws=500).models["student"].metrics["accuracy"]
    rows = evaluate(thrice, target, draws=500).models["student"].metrics["accuracy"]
    assert (found.low, found.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert rows.high - rows.low < 0.7 * (once.high - once.low)


def test_functions_of_means_and_others_are_measured_side_by_side() -> None:
    scoring = Scoring(hard={}, metrics=(Spearman(), Accuracy()))
    evaluator = Evaluator(scoring, draws=100)
    for rows in batches():
        outputs = {"logits": LOGITS["student"][0][rows], "value": VALUES[0][rows]}
        evaluator.update("student", 0, outputs, {"target": TARGET[rows]}, rows=rows)
    metrics = evaluator.result().models["student"].metrics
    assert list(metrics) == ["spearman", "accuracy"]
    assert metrics["spearman"].value == pytest.approx(spearman(VALUES[0], TARGET))
    assert metrics["accuracy"].value == pytest.approx((LOGITS["student"][0].argmax(1) == TARGET).mean())


def images(count: int) -> tuple[dict[str, list[Floats]], dict[str, Integers]]:
    sizes = RANDOM.integers(0, 5, count)
    scores = [RANDOM.normal(size=size) for size in sizes]
    return {"score": scores, "hit": [(one > 0).astype(float) for one in scores]}, {"objects": sizes + 1}


def test_lists_of_detections_are_evaluated_and_stored() -> None:
    evaluator = Evaluator(Scoring(hard={}, metrics=(PrecisionOfBoxes(),), keep=("score",)), draws=100)
    outputs, labels = images(30)
    order = RANDOM.permutation(30)
    for rows in np.split(order, [4, 11, 20]):
        batch = {name: [values[row] for row in rows] for name, values in outputs.items()}
        evaluator.update("detector", 0, batch, {"objects": labels["objects"][rows]}, rows=rows)
    expected = precision_of_boxes(list(zip(outputs["score"], outputs["hit"], labels["objects"], strict=True)))
    assert evaluator.result().models["detector"].metrics["precision_of_boxes"].value == pytest.approx(expected)
    kept = evaluator.kept("detector", 0)["score"]
    assert all(np.array_equal(one, other) for one, other in zip(kept, outputs["score"], strict=True))
    stored = evaluator.tables()
    np.testing.assert_array_equal(stored["detector/0/rows"], order)
    np.testing.assert_array_equal(
        stored["detector/0/precision_of_boxes/score"], np.concatenate([outputs["score"][row] for row in order])
    )


def test_statistics_of_every_metric_are_arrays_to_store() -> None:
    evaluator = Evaluator(single_label_scoring(CLASSES), units=UNITS, draws=100)
    for rows in batches():
        logits = LOGITS["student"][1][rows]
        evaluator.update("student", 7, {"logits": logits}, {"target": TARGET[rows]}, {"logits": logits}, rows)
    stored = evaluator.tables()
    assert set(stored) == {"units", "student/7/rows"} | {f"student/7/{name}" for name in evaluator.metrics}
    correct = LOGITS["student"][1].argmax(1) == TARGET
    np.testing.assert_array_equal(stored["student/7/accuracy"][:, 0], correct)
    np.testing.assert_array_equal(stored["units"], UNITS)
    # What is stored is enough to draw again.
    metric = evaluator.metrics["macro_f1"]
    value = metric.value(stored["student/7/macro_f1"], np.ones((1, ROWS)))[0]
    assert value == evaluator.result().models["student"].metrics["macro_f1"].value


def test_outputs_are_not_held() -> None:
    evaluator = Evaluator(replace(single_label_scoring(CLASSES), tables={}), metrics=["accuracy"], draws=100)
    evaluator.update("student", 0, {"logits": LOGITS["student"][0]}, {"target": TARGET})
    held = sum(array.nbytes for array in evaluator.tables().values())
    assert held == 2 * ROWS * 8  # the row numbers and one number a row
    assert evaluator.kept("student", 0) == {}


def update(evaluator: Evaluator, rows: Any = None, **changes: Any) -> None:
    given = {"outputs": {"logits": LOGITS["student"][0]}, "labels": {"target": TARGET}, "reference": None} | changes
    evaluator.update("student", 0, **given, rows=rows)


def test_rows_that_are_missing_or_there_twice_are_refused() -> None:
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=100)
    update(evaluator, rows=np.r_[0, np.arange(ROWS - 1)])
    with refused(
        ArgumentError,
        "mismatch",
        "student",
        match=r"'student', seed 0, has 90 rows, numbered from 0 to 88; expected each of",
    ):
        evaluator.result()
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=100)
    update(evaluator)
    evaluator.update("control", 0, {"logits": LOGITS["control"][0][:9]}, {"target": TARGET[:9]})
    with refused(ArgumentError, "mismatch", "control"):
        evaluator.result()


def test_a_reference_of_some_batches_is_refused() -> None:
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=100)
    update(evaluator)
    with refused(ArgumentError, "mismatch", "reference"):
        update(evaluator, reference={"logits": LOGITS["teacher"][0]})


def test_what_cannot_be_evaluated_is_refused() -> None:
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=100)
    with refused(ArgumentError, "missing", "models"):
        evaluator.result()
    with refused(ArgumentError, "mismatch"):
        update(evaluator, labels={"target": TARGET[:4]})
    broken = LOGITS["student"][0][:3].copy()
    broken[1] = np.inf
    with refused(
        ArgumentError, "not_finite", "logits", match=r"logits of 'student', seed 0, are not finite \(first in row 42\)"
    ):
        update(evaluator, outputs={"logits": broken}, labels={"target": TARGET[:3]}, rows=np.array([7, 42, 5]))
    evaluator = Evaluator(single_label_scoring(CLASSES), draws=100)
    update(evaluator)
    with refused(ArgumentError, "unknown_name", "studnt", match="Did you mean 'student'"):
        evaluator.result([("studnt", "student")])


def test_a_metric_of_an_output_that_is_not_there_is_refused() -> None:
    evaluator = Evaluator(Scoring(hard={}, metrics=(Spearman(),)), draws=100)
    with refused(ArgumentError, "unknown_name", "metrics"):
        update(evaluator)


def test_an_accumulator_gives_the_value_on_all_rows_so_far() -> None:
    accumulator = Accumulator({"micro_f1": MicroF1()})
    for rows in batches():
        accumulator.update({"logits": LOGITS["student"][0][rows]}, {"target": TARGET[rows]})
    assert len(accumulator) == ROWS
    assert accumulator.score("micro_f1") == pytest.approx((LOGITS["student"][0].argmax(1) == TARGET).mean())
