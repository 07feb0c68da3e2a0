"""Labels of tokens: entities against brute force, tokens against scikit-learn, intervals over sentences."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from limbeck.errors import ArgumentError
from limbeck.measure import Floats, Integers, Resamples, evaluate, main_score, token_scoring, verdict
from limbeck.measure.token_labels import entities
from refusals import refused

CLASSES = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
RANDOM = np.random.default_rng(0)
ROWS, LONGEST = 40, 9
LENGTHS = RANDOM.integers(1, LONGEST + 1, ROWS)
TARGET = np.where(np.arange(LONGEST) < LENGTHS[:, None], RANDOM.integers(0, 5, (ROWS, LONGEST)), -100)
# A word in the middle that no model reads.
TARGET[3, 0] = -100


def skilled(skill: float, seed: int) -> Floats:
    noise = np.random.default_rng(seed).normal(size=(ROWS, LONGEST, 5))
    return np.asarray(noise + skill * np.eye(5)[TARGET.clip(0)], np.float64)


def chunks(tags: list[str]) -> set[tuple[int, int, str]]:
    """By brute force: every stretch that is an entity, and cannot be made longer."""

    def kind(tag: str) -> str | None:
        return None if tag == "O" else tag.split("-", 1)[-1] if tag[:2] in ("B-", "I-") else tag

    def whole(start: int, stop: int) -> bool:
        own = tags[start:stop]
        return kind(own[0]) is not None and len(set(map(kind, own))) == 1 and not any(t[:2] == "B-" for t in own[1:])

    found = [(a, b) for a, b in itertools.combinations(range(len(tags) + 1), 2) if whole(a, b)]
    longest = [(a, b) for a, b in found if not any((c, d) != (a, b) and c <= a and b <= d for c, d in found)]
    return {(a, b, str(kind(tags[a]))) for a, b in longest}


@pytest.mark.parametrize("names", [CLASSES, ("O", "PER", "LOC"), ("O", "B", "I", "ORG")])
def test_entities_are_those_of_brute_force(names: tuple[str, ...]) -> None:
    draw = random.Random(0)
    for length in range(12):
        for _ in range(60):
            tags = draw.choices(names, k=length)
            assert entities(tags) == chunks(tags), tags


def test_entities_of_prefixes_for_ends_and_single_words() -> None:
    tags = ["B-PER", "I-PER", "E-PER", "S-LOC", "S-LOC", "U-ORG", "B-X", "L-X", "I-X", "O"]
    expected = {(0, 3, "PER"), (3, 4, "LOC"), (4, 5, "LOC"), (5, 6, "ORG"), (6, 8, "X"), (8, 9, "X")}
    assert entities(tags) == expected


def names(rows: Integers, row: int) -> list[str]:
    return [CLASSES[tag] for tag in rows[row][TARGET[row] != -100]]


def entity_f1(logits: Floats, rows: Integers) -> float:
    called = logits.argmax(-1)
    pairs = [(chunks(names(TARGET, row)), chunks(names(called, row))) for row in rows]
    both, seen = sum(len(a & b) for a, b in pairs), sum(len(a) + len(b) for a, b in pairs)
    return 2 * both / seen if seen else 0.0


def test_scores_are_those_of_all_words_and_entities_together() -> None:
    logits, teacher = skilled(1.5, 1), skilled(3.0, 2)
    found = evaluate(
        {"student": [logits], "teacher": [teacher]}, TARGET, scoring=token_scoring(CLASSES), reference="teacher"
    )
    known = TARGET != -100
    called, true = logits.argmax(-1)[known], TARGET[known]
    made = {name: one.value for name, one in found.models["student"].metrics.items()}
    assert next(iter(made)) == "entity_f1"
    assert made["entity_f1"] == pytest.approx(entity_f1(logits, np.arange(ROWS)))
    assert made["accuracy"] == pytest.approx(accuracy_score(true, called))
    assert made["macro_f1"] == pytest.approx(f1_score(true, called, average="macro"))
    assert made["teacher_agreement"] == pytest.approx(np.mean(called == teacher.argmax(-1)[known]))
    log = logits[known] - np.log(np.exp(logits[known]).sum(-1, keepdims=True))
    assert made["negative_log_likelihood"] == pytest.approx(-log[np.arange(len(true)), true].mean())
    assert np.sum(found.models["student"].tables["confusion"]) == known.sum()
    assert sum(one["count"] for one in found.models["student"].tables["reliability"]) == known.sum()


@pytest.mark.parametrize("metric", ["entity_f1", "accuracy"])
def test_intervals_draw_whole_sentences(metric: str) -> None:
    logits = {"student": [skilled(2.0, 1)], "control": [skilled(1.0, 2)]}
    found = evaluate(logits, TARGET, scoring=token_scoring(CLASSES), comparisons=[("student", "control")], draws=150)

    def score(name: str, rows: Integers) -> float:
        one = logits[name][0]
        if metric == "entity_f1":
            return entity_f1(one, rows)
        return float((one[rows].argmax(-1) == TARGET[rows])[TARGET[rows] != -100].mean())

    drawn = [np.repeat(np.arange(ROWS), count) for count in Resamples(ROWS, draws=150).counts]
    differences = np.array([score("student", rows) - score("control", rows) for rows in drawn])
    value = score("student", np.arange(ROWS)) - score("control", np.arange(ROWS))
    bias = differences.mean() - value
    bias = 0.0 if abs(bias) < 4 * differences.std() / np.sqrt(150) else bias
    made = found.comparison("student", "control", metric)
    assert made.difference == pytest.approx(value)
    assert (made.low, made.high) == pytest.approx(tuple(np.percentile(differences - bias, [2.5, 97.5])))


def test_entities_decide_where_there_are_some_and_words_where_there_are_none() -> None:
    logits = skilled(1.0, 1)
    outputs, labels = {"logits": logits}, {"target": TARGET}
    entity_score = main_score(token_scoring(CLASSES), outputs, labels)
    assert entity_score == ("entity_f1", pytest.approx(entity_f1(logits, np.arange(ROWS))), True)
    token_score = main_score(token_scoring(("A", "B", "C", "D", "E")), outputs, labels)
    assert token_score == ("accuracy", pytest.approx((logits.argmax(-1) == TARGET)[TARGET != -100].mean()), True)
    made = evaluate(
        {"a": [logits], "b": [skilled(3.0, 3)]}, TARGET, scoring=token_scoring(CLASSES), comparisons=[("b", "a")]
    )
    assert "the student's entity F1 is" in verdict(made.comparison("b", "a", "entity_f1"))


def test_without_an_entity_anywhere_the_score_is_0() -> None:
    logits = np.zeros((2, 3, 2))
    logits[..., 1] = 1
    labels = {"target": np.ones((2, 3), np.int64)}
    assert main_score(token_scoring(("B-X", "O")), {"logits": logits}, labels) == ("entity_f1", 0.0, True)


def test_targets_that_do_not_fit_are_refused() -> None:
    logits = {"student": [skilled(1.0, 1)]}
    with refused(ArgumentError, "wrong_shape", "target"):
        evaluate(logits, TARGET[:, 0], scoring=token_scoring(CLASSES))
    with refused(ArgumentError, "out_of_range", "target"):
        evaluate(logits, np.where(TARGET == 4, 7, TARGET), scoring=token_scoring(CLASSES))
    with refused(ArgumentError, "missing", "labels"):
        evaluate(logits, np.full_like(TARGET, -100), scoring=token_scoring(CLASSES))
