from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as oracle
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure import Evaluation, evaluate, single_label_scoring

RANDOM = np.random.default_rng(0)
ROWS, CLASSES = 250, 6
TARGET = RANDOM.integers(0, CLASSES, ROWS)
NAMES = {metric.name for metric in single_label_scoring(CLASSES).metrics}
FOR_TEACHER = {"teacher_agreement", "teacher_kl"}


def skilled(skill: float) -> NDArray[np.float64]:
    return RANDOM.normal(size=(ROWS, CLASSES)) + skill * np.eye(CLASSES)[TARGET]


LOGITS = {
    "teacher": [skilled(4)],
    "control": [skilled(1) for _ in range(3)],
    "student": [skilled(3) for _ in range(3)],
}
PAIRS = [("student", "control"), ("student", "teacher"), ("teacher", "student"), ("control", "student")]


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(LOGITS, TARGET, reference="teacher", comparisons=PAIRS, draws=500)


def test_every_model_has_every_metric_but_those_against_itself(found: Evaluation) -> None:
    assert set(found.models["student"].metrics) == NAMES
    assert set(found.models["teacher"].metrics) == NAMES - FOR_TEACHER
    assert {one.metric for one in found.comparisons if one.b == "control"} == NAMES
    assert not FOR_TEACHER & {one.metric for one in found.comparisons if one.b == "teacher"}
    alone = evaluate({"student": LOGITS["student"]}, TARGET, draws=100)
    assert set(alone.models["student"].metrics) == NAMES - FOR_TEACHER


def test_values_are_means_over_seeds_of_each_seeds_metric(found: Evaluation) -> None:
    expected = [oracle.accuracy_score(TARGET, one.argmax(axis=1)) for one in LOGITS["student"]]
    student = found.models["student"]
    assert [seed["accuracy"] for seed in student.seeds] == pytest.approx(expected)
    assert student.metrics["accuracy"].value == pytest.approx(np.mean(expected))
    agreed = [(one.argmax(axis=1) == LOGITS["teacher"][0].argmax(axis=1)).mean() for one in LOGITS["student"]]
    assert student.metrics["teacher_agreement"].value == pytest.approx(np.mean(agreed))


def test_scope_tells_what_varied(found: Evaluation) -> None:
    assert {name: model.scope for name, model in found.models.items()} == {
        "teacher": "rows",
        "control": "rows+seeds",
        "student": "rows+seeds",
    }
    assert {one.scope for one in found.comparisons} == {"rows+seeds"}
    assert {one.seeds for one in found.comparisons} == {3}
    first = {name: seeds[:1] for name, seeds in LOGITS.items()}
    single = evaluate(first, TARGET, comparisons=[("student", "control")], draws=100)
    assert {(one.scope, one.seeds) for one in single.comparisons} == {("rows", 1)}


def test_intervals_hold_their_values(found: Evaluation) -> None:
    for model in found.models.values():
        assert all(one.low <= one.value <= one.high for one in model.metrics.values())
    assert all(one.low <= one.difference <= one.high for one in found.comparisons)


def test_a_comparison_turned_round_changes_sign(found: Evaluation) -> None:
    for one in found.comparisons:
        turned = found.comparison(one.b, one.a, one.metric)
        assert turned.difference == pytest.approx(-one.difference)
        assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low), abs=1e-9)


def test_a_model_against_its_copy_has_no_difference() -> None:
    copies = {"a": LOGITS["student"], "b": LOGITS["student"]}
    for one in evaluate(copies, TARGET, comparisons=[("a", "b")], draws=100).comparisons:
        assert (one.difference, one.low, one.high) == (0.0, 0.0, 0.0)


def test_pairing_over_rows_is_narrower_than_independent_rows() -> None:
    near = {"a": LOGITS["student"][:1], "b": [LOGITS["student"][0] + 0.1 * skilled(0)]}
    found = evaluate(near, TARGET, comparisons=[("a", "b")], draws=500)
    paired = found.comparison("a", "b")
    apart = [found.models[name].metrics["accuracy"] for name in "ab"]
    assert paired.high - paired.low < 0.6 * np.hypot(*(one.high - one.low for one in apart))


def test_pairing_over_seeds_takes_off_what_seeds_share() -> None:
    """A shared gain per seed widens each model's interval and leaves the difference alone."""
    gains = (0.5, 2.0, 5.0)
    base = [skilled(gain) for gain in gains]
    shared = {"a": base, "b": [one + 0.05 * skilled(0) for one in base]}
    found = evaluate(shared, TARGET, comparisons=[("a", "b")], draws=500)
    paired, own = found.comparison("a", "b"), found.models["a"].metrics["accuracy"]
    assert paired.high - paired.low < (own.high - own.low) / 3


def test_one_instance_is_paired_with_every_seed(found: Evaluation) -> None:
    thrice = LOGITS | {"teacher": LOGITS["teacher"] * 3}
    again = evaluate(thrice, TARGET, reference="teacher", comparisons=PAIRS, draws=500)
    assert again.comparisons == found.comparisons


def test_is_a_function_of_logits_and_seed(found: Evaluation) -> None:
    again = evaluate(LOGITS, TARGET, reference="teacher", comparisons=PAIRS, draws=500)
    assert again == found
    other = evaluate(LOGITS, TARGET, reference="teacher", comparisons=PAIRS, draws=500, seed=1)
    assert other.models["student"].seeds == found.models["student"].seeds
    assert other != found


def test_confusion_and_reliability_pool_the_seeds(found: Evaluation) -> None:
    expected = sum(
        oracle.confusion_matrix(TARGET, one.argmax(axis=1), labels=range(CLASSES)) for one in LOGITS["student"]
    )
    student = found.models["student"]
    assert student.tables["confusion"] == expected.tolist()
    assert sum(one["count"] for one in student.tables["reliability"]) == 3 * ROWS
    assert len(student.tables["reliability"]) == 15


def broken(name: str, seed: int, value: float) -> dict[str, list[NDArray[np.float64]]]:
    logits = {key: [one.copy() for one in seeds] for key, seeds in LOGITS.items()}
    logits[name][seed][7, 2] = value
    return logits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": broken("student", 1, np.nan)}, r"logits of 'student', seed 1, are not finite \(first in row 7\)"),
        ({"logits": broken("teacher", 0, -np.inf)}, r"logits of 'teacher', seed 0, are not finite"),
        ({"logits": {}}, "no models"),
        ({"logits": LOGITS | {"student": []}}, "'student' has no outputs"),
        (
            {"logits": LOGITS | {"student": [skilled(1)[:9]]}},
            r"'student', seed 0, have shape \(9, 6\); expected \(250, 6\)",
        ),
        ({"logits": LOGITS | {"student": [skilled(1)[:, :5]]}}, "the same rows and classes for every model"),
        ({"logits": {"student": [skilled(1)[:, 0]]}}, r"no logits \[N, C\]"),
        ({"target": TARGET.astype(float)}, r"type float64 .* expected one class number for each row"),
        ({"target": TARGET[:0]}, "numbers of rows differ"),
        ({"target": np.where(TARGET == 3, -100, TARGET)}, "targets from -100 to 5 for logits of 6 classes"),
        ({"target": TARGET + 1}, "targets from 1 to 6"),
        ({"reference": "teachr"}, "Did you mean 'teacher'"),
        ({"comparisons": [("student", "controll")]}, "Did you mean 'control'"),
        ({"metrics": ["acuracy"]}, "Did you mean 'accuracy'"),
        ({"logits": LOGITS | {"control": LOGITS["control"][:2]}}, "'student' has 3 seeds and 'control' has 2"),
        ({"draws": 10}, "10 draws"),
    ],
)
def test_refuses_what_cannot_be_right(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"logits": LOGITS, "target": TARGET, "comparisons": PAIRS} | arguments
    with pytest.raises(ArgumentError, match=message):
        evaluate(given.pop("logits"), given.pop("target"), **given)
