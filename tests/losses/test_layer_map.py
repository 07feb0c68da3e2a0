import itertools

import numpy as np
import pytest

from limbeck.errors import ArgumentError
from limbeck.functional import layer_map


def from_one(rule, students: int, teachers: int) -> list[int]:
    """The teacher's layers, counted from 1 as papers do."""
    pairs = layer_map(rule, students, teachers)
    assert [student for student, _ in pairs] == list(range(students))
    return [teacher + 1 for _, teacher in pairs]


@pytest.mark.parametrize(
    ("rule", "students", "teachers", "expected"),
    [
        ("uniform", 4, 12, [3, 6, 9, 12]),  # TinyBERT4
        ("uniform", 6, 12, [2, 4, 6, 8, 10, 12]),  # TinyBERT6
        ("uniform", 3, 4, [1, 2, 4]),
        ("uniform", 5, 5, [1, 2, 3, 4, 5]),
        ("last", 6, 12, [7, 8, 9, 10, 11, 12]),  # PKD-Last, and the layer of the logits
        ("last", 3, 12, [10, 11, 12]),
        ("skip", 6, 12, [2, 4, 6, 8, 10, 12]),  # PKD-Skip, and the layer of the logits
        ("skip", 3, 12, [4, 8, 12]),
        ("skip", 3, 11, [3, 6, 9]),
        ("uniform", 3, 11, [3, 7, 11]),
        ("skip", 1, 1, [1]),
    ],
)
def test_rules_of_the_papers(rule: str, students: int, teachers: int, expected: list[int]) -> None:
    assert from_one(rule, students, teachers) == expected


@pytest.mark.parametrize("rule", ["uniform", "last", "skip"])
def test_rules_grow_strictly_and_agree_at_equal_depth(rule: str) -> None:
    for students, teachers in itertools.combinations_with_replacement(range(1, 14), 2):
        partners = from_one(rule, students, teachers)
        assert all(first < second for first, second in itertools.pairwise([0, *partners]))
        assert partners[-1] <= teachers
        if students == teachers:
            assert partners == list(range(1, students + 1))
        if rule != "skip":
            assert partners[-1] == teachers


@pytest.mark.parametrize("seed", range(20))
def test_auto_is_the_best_of_all_monotone_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    teachers = int(rng.integers(1, 7))
    students = int(rng.integers(1, teachers + 1))
    similarities = rng.random((students, teachers))

    def total(chosen: tuple[int, ...]) -> float:
        return sum(similarities[s, t] for s, t in enumerate(chosen))

    best = max(itertools.combinations(range(teachers), students), key=total)
    assert layer_map("auto", students, teachers, similarities=similarities.tolist()) == list(enumerate(best))


def test_auto_takes_the_deepest_of_equal_maps() -> None:
    assert layer_map("auto", 2, 4, similarities=[[0.5] * 4] * 2) == [(0, 2), (1, 3)]


def test_auto_takes_no_layer_twice_although_it_is_the_most_similar() -> None:
    assert layer_map("auto", 2, 3, similarities=[[0.1, 0.9, 0.0], [0.2, 1.0, 0.3]]) == [(0, 1), (1, 2)]


def test_pairs_may_count_from_the_end_and_repeat() -> None:
    assert layer_map([[0, 0], [0, -1], [-1, 2]], 2, 3) == [(0, 0), (0, 2), (1, 2)]
    assert layer_map([(1, 0)], 2, 1) == [(1, 0)]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("unifrom", 2, 4), {}, r"no layer map 'unifrom'\. Did you mean 'uniform'\?"),
        (("uniform", 5, 4), {}, "gives each of 5 layers of the student one of the teacher's own, but there are 4"),
        (("last", 0, 4), {}, "0 layers of the student and 4 of the teacher"),
        (([(0, 4)], 2, 4), {}, "there is no layer 4 of the teacher, which gives 4"),
        (([(-3, 0)], 2, 4), {}, "there is no layer -3 of the student, which gives 2"),
        (([], 2, 4), {}, r"layers is \[\], expected a name or pairs"),
        (([(0, 1, 2)], 2, 4), {}, "expected a name or pairs of positions"),
        (([(0, 0.5)], 2, 4), {}, "expected a name or pairs of positions"),
        (("auto", 2, 4), {}, "'auto' needs similarities, 2 rows of 4 numbers"),
        (("auto", 2, 4), {"similarities": [[0.0] * 4]}, "'auto' needs similarities, 2 rows of 4 numbers"),
        (("auto", 1, 1), {"similarities": [[float("nan")]]}, "similarities are not finite"),
    ],
)
def test_invalid_rules_are_rejected(arguments, options, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        layer_map(*arguments, **options)
