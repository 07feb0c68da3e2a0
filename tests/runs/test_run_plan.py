"""The graph of stages: its order, what it refuses, and two rounds of federated averaging through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from limbeck.errors import ArgumentError, RecipeError
from limbeck.runs import RunPlan, RunProtocol, StageSpec
from limbeck.runs.plan import TrainingSpec
from limbeck.tasks import TrainingRows
from limbeck.training.settings import Settings

TRAINING = TrainingSpec(
    stage="student",
    title="",
    path="train",
    learners={"student": "student"},
    teachers=(),
    train=Settings(),
    rows=TrainingRows([]),
    terms={},
)


def trained(name: str, role: str = "student", **options: Any) -> StageSpec:
    return StageSpec(name=name, seed=0, role=role, training=TRAINING, **options)


def names(plan: RunPlan) -> list[str]:
    return [stage.name for stage in plan.stages]


def test_every_stage_comes_after_all_that_it_needs() -> None:
    first, second = trained("first"), trained("second")
    third = trained("third", needs=(second,), initial={"student": first})
    last = trained("last", needs=(first, third))
    plan = RunPlan([last, trained("control", "control", needs=(second,))])
    assert names(plan) == ["first", "second", "third", "last", "control"]
    assert [stage.name for stage in plan.of_role("student")] == ["last"]
    assert plan.of_role("compressed") == []


def test_two_stages_of_one_name_and_seed_are_refused() -> None:
    last = trained("last", needs=(trained("same"), trained("same")))
    with pytest.raises(RecipeError, match="the name 'same'"):
        RunPlan([last])
    RunPlan([trained("last", needs=(trained("same"), replace(trained("same"), seed=1)))])


def test_two_last_stages_of_one_role_are_refused() -> None:
    with pytest.raises(RecipeError, match="the role 'student'"):
        RunPlan([trained("a"), trained("b")])


@pytest.mark.parametrize(
    "options",
    [{"kind": "train"}, {"kind": "merge"}, {"kind": "compress", "training": TRAINING, "needs": (trained("a"),)}],
)
def test_a_stage_that_lacks_what_its_kind_takes_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        StageSpec(name="stage", seed=0, role="student", **options)


class Federated(RunProtocol):
    """In each round every client trains from the merged weights of the round before."""

    def __init__(self, clients: int, rounds: int) -> None:
        self.clients = clients
        self.rounds = rounds

    def stages(self, default: Sequence[StageSpec]) -> Sequence[StageSpec]:
        return [self._rounds(stage) if stage.role == "student" else stage for stage in default]

    def _rounds(self, stage: StageSpec) -> StageSpec:
        merged = None
        for number in range(self.rounds):
            initial = {} if merged is None else {"student": merged}
            clients = [
                replace(stage, name=f"round{number}_client{client}", initial=initial) for client in range(self.clients)
            ]
            merged = StageSpec(
                name=f"round{number}", seed=stage.seed, role="student", kind="merge", needs=tuple(clients)
            )
        assert merged is not None
        return merged


def test_a_protocol_of_two_rounds_is_a_graph() -> None:
    plan = RunPlan(Federated(clients=2, rounds=2).stages([trained("control", "control"), trained("student")]))
    assert names(plan) == [
        "control",
        "round0_client0",
        "round0_client1",
        "round0",
        "round1_client0",
        "round1_client1",
        "round1",
    ]
