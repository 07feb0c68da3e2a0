"""The plan of batches: what an epoch covers, what each step draws, what depends on what."""

import itertools

import pytest
import torch

from limbeck.data.plan import Plan
from limbeck.errors import ArgumentError, DataError
from limbeck.hashing import derive, permutation

ALL = torch.ones(50, dtype=torch.bool)
FEW = torch.arange(50) % 7 == 3  # 7 of 50


def epoch(plan: Plan, number: int) -> list[int]:
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    return [row for step in steps for row in plan.rows(step)[0].tolist()]


@pytest.mark.parametrize("labelled", [ALL, ~ALL], ids=["all", "none"])
def test_an_epoch_is_a_permutation_less_the_last_incomplete_batch(labelled):
    plan = Plan(labelled, batch_size=8, seed=5)
    assert plan.steps_per_epoch == 6
    for number in range(3):
        rows = epoch(plan, number)
        assert rows == permutation(derive(5, 0), number, 50)[:48].tolist()
        assert len(set(rows)) == 48
    assert epoch(plan, 0) != epoch(plan, 1)


def test_the_view_is_the_epoch():
    plan = Plan(ALL, batch_size=8, seed=0)
    assert [plan.epoch(step) for step in (0, 5, 6, 17)] == [0, 0, 1, 2]
    assert [plan.rows(step)[1].tolist() for step in (0, 5, 6, 17)] == [[e] * 8 for e in (0, 0, 1, 2)]


def test_mixed_batches_hold_their_share_in_every_slice():
    plan = Plan(FEW, batch_size=16, seed=0)
    assert plan.steps_per_epoch == 43 // 12
    for step in range(9):
        rows, _ = plan.rows(step)
        assert FEW[rows].reshape(4, 4).sum(1).tolist() == [1, 1, 1, 1]


def test_mixed_epochs_walk_over_the_unlabelled_rows():
    plan = Plan(FEW, batch_size=16, seed=0)
    for number in range(3):
        walked = [row for row in epoch(plan, number) if not FEW[row]]
        assert len(walked) == len(set(walked)) == 36
    rows, views = plan.rows(7)
    assert views[~FEW[rows]].tolist() == [2] * 12


def labelled_draws(plan: Plan, steps: int) -> list[tuple[int, int]]:
    planned = [plan.rows(step) for step in range(steps)]
    return [(r, v) for rows, views in planned for r, v in zip(rows.tolist(), views.tolist(), strict=True) if FEW[r]]


def test_labelled_rows_are_drawn_pass_after_pass():
    draws = labelled_draws(Plan(FEW, batch_size=16, seed=0), 40)
    for number, group in itertools.groupby(draws[: 22 * 7], key=lambda draw: draw[1]):
        assert sorted(row for row, _ in group) == FEW.nonzero().flatten().tolist(), number
    assert [view for _, view in draws] == [position // 7 for position in range(160)]


def test_the_control_draws_the_same_sequence_in_full_batches():
    mixed, only = (Plan(FEW, batch_size=16, seed=3, labelled_only=flag) for flag in (False, True))
    assert only.steps_per_epoch == mixed.steps_per_epoch
    assert labelled_draws(only, 10) == labelled_draws(mixed, 40)
    rows, _ = only.rows(4)
    assert len(rows) == 16
    assert FEW[rows].all()


def test_the_control_with_all_labels_has_the_ordinary_plan():
    ordinary, only = (Plan(ALL, batch_size=8, seed=3, labelled_only=flag) for flag in (False, True))
    for step in range(20):
        for one, other in zip(ordinary.rows(step), only.rows(step), strict=True):
            assert torch.equal(one, other)


def test_a_step_is_the_same_whatever_was_asked_before():
    forward = Plan(FEW, batch_size=16, seed=0)
    steps = [tuple(map(torch.Tensor.tolist, forward.rows(step))) for step in range(20)]
    for step in (19, 3, 11):
        assert tuple(map(torch.Tensor.tolist, Plan(FEW, batch_size=16, seed=0).rows(step))) == steps[step]
    assert tuple(map(torch.Tensor.tolist, Plan(FEW, batch_size=16, seed=1).rows(3))) != steps[3]


def test_writing_to_a_batch_does_not_change_the_plan():
    plan = Plan(FEW, batch_size=16, seed=0)
    before = plan.rows(0)[0].tolist()
    plan.rows(0)[0].zero_()
    assert plan.rows(0)[0].tolist() == before


@pytest.mark.parametrize(("share", "labelled"), [(0.01, 1), (0.25, 4), (0.5, 8), (0.99, 15)])
def test_the_share_is_rounded_to_at_least_one_row_of_each_kind(share, labelled):
    rows, _ = Plan(FEW, batch_size=16, seed=0, labelled_share=share).rows(0)
    assert int(FEW[rows].sum()) == labelled


def test_a_batch_as_large_as_the_set_is_one_step():
    assert Plan(ALL, batch_size=50, seed=0).steps_per_epoch == 1


@pytest.mark.parametrize(
    ("labelled", "options", "error", "message"),
    [
        (ALL, {"batch_size": 0}, ArgumentError, "batch_size is 0; expected at least 1"),
        (FEW, {"batch_size": 1}, ArgumentError, "batch_size is 1; expected at least 2"),
        (FEW, {"batch_size": 8, "labelled_share": 1.0}, ArgumentError, r"labelled_share is 1\.0"),
        (ALL, {"batch_size": 51}, DataError, r"a batch takes 51 training rows, the data has 50; .*\(now 51\)"),
        (FEW, {"batch_size": 60}, DataError, "a batch takes 45 unlabelled rows, the data has 43"),
        (~ALL, {"batch_size": 8, "labelled_only": True}, DataError, "none of the 50 training rows has a label"),
    ],
)
def test_plans_that_cannot_be_are_refused(labelled, options, error, message):
    with pytest.raises(error, match=message):
        Plan(labelled, seed=0, **options)


# Classes in balance.

RARE = torch.tensor([0] * 30 + [1] * 6 + [2] * 2 + [-100] * 40)
KNOWN = RARE >= 0


@pytest.mark.parametrize(
    ("labelled", "options", "labels"),
    [(KNOWN, {}, 6), (KNOWN, {"labelled_only": True}, 24), (KNOWN[:38], {}, 24)],
    ids=["mixed", "labelled only", "all labelled"],
)
def test_every_class_is_drawn_equally_often_and_its_rows_too(labelled, options, labels):
    classes = RARE[: len(labelled)]
    plan = Plan(labelled, batch_size=24, seed=3, classes=classes, **options)
    planned = [plan.rows(step) for step in range(20)]
    draws = [
        (row, view)
        for rows, views in planned
        for row, view in zip(rows.tolist(), views.tolist(), strict=True)
        if labelled[row]
    ]
    assert len(draws) == 20 * labels
    for number, (rows, _) in enumerate(planned):
        drawn = classes[rows][labelled[rows]]
        assert torch.bincount(drawn).tolist() == [labels // 3] * 3, number
    for label in range(3):
        of_class = [(row, view) for row, view in draws if classes[row] == label]
        assert len(set(of_class)) == len(of_class)
        members = (classes == label).nonzero().flatten().tolist()
        for number in range(len(of_class) // len(members)):
            passed = of_class[number * len(members) : (number + 1) * len(members)]
            assert sorted(passed) == [(row, number) for row in members]
    assert plan.rows(7)[0].tolist() == planned[7][0].tolist()
