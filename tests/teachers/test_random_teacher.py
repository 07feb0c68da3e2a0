"""One member for each step, as a function of the seed and the step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from core.toys import KL, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import EMA, Ensemble, Frozen, MapClasses, RandomTeacher
from refusals import refused
from teachers import ranks as tasks
from teachers.test_ensemble import Given

BATCH = make_batch(7)


class Counting(Given):
    def __init__(self, logits, **options) -> None:
        super().__init__(logits, **options)
        self.runs = 0

    def forward(self, board):
        self.runs += 1
        return super().forward(board)


def drawn(steps, **options) -> list[str]:
    teacher = RandomTeacher({name: Given(np.zeros((1, 2))) for name in "abc"}, **options)
    names = []
    for step in steps:
        teacher.follow_step(step)
        names.append(teacher.drawn)
    return names


def make(seed=0) -> tuple[Distiller, torch.optim.Optimizer]:
    teacher = RandomTeacher({name: Frozen(mlp(k)) for k, name in enumerate("abc", 1)}, seed=seed)
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": teacher}).prepare([BATCH])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    return distiller, optimizer


def train(distiller, optimizer, steps) -> list[str]:
    names = []
    for _ in range(steps):
        optimizer.zero_grad()
        for part in range(2):
            names.append(distiller.teachers["teacher"].drawn)
            distiller(make_batch(7, seed=part)).loss().backward()
        optimizer.step()
    assert names[::2] == names[1::2]
    return names[::2]


def test_a_member_is_drawn_as_often_as_it_weighs():
    names = drawn(range(20000), weights={"a": 1, "b": 5, "c": 2})
    shares = np.array([names.count(name) for name in "abc"]) / len(names)
    # Four standard errors.
    np.testing.assert_allclose(shares, [0.125, 0.625, 0.25], atol=4 * np.sqrt(0.25 / len(names)))


def test_steps_are_drawn_independently():
    names = np.array(drawn(range(20000), weights={"a": 1, "b": 1, "c": 0}))
    assert set(names) == {"a", "b"}
    again = (names[1:] == names[:-1]).mean()
    assert again == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(names)))


def test_the_draw_depends_on_seed_and_step_alone():
    assert drawn(range(50)) == drawn(range(50)) == [drawn([step])[0] for step in range(50)]
    assert drawn(range(50), seed=1) != drawn(range(50))


def test_only_the_drawn_member_runs_and_its_outputs_stand_at_the_address():
    members = {name: Counting(np.full((1, 2), k)) for k, name in enumerate("abc")}
    teacher = RandomTeacher(members)
    for step in range(9):
        teacher.follow_step(step)
        assert teacher({})["logits"].flatten().tolist() == ["abc".index(teacher.drawn)] * 2
    assert sum(member.runs for member in members.values()) == 9
    assert members["a"].steps == []


def test_it_draws_with_the_optimizer_step():
    distiller, optimizer = make(seed=3)
    assert train(distiller, optimizer, 12) == drawn(range(12), seed=3)


def test_the_student_learns_from_the_drawn_member():
    distiller, optimizer = make(seed=3)
    train(distiller, optimizer, 4)
    model = copy.deepcopy(distiller.students["student"].model)
    distiller.zero_grad()
    distiller(BATCH).loss().backward()
    model.zero_grad()
    number = " abc".index(drawn([4], seed=3)[0])
    kl_by_hand(model(BATCH["inputs"]), mlp(number)(BATCH["inputs"]).detach()).backward()
    torch.testing.assert_close(gradients(distiller.students["student"].model), gradients(model))


def test_resuming_draws_what_would_have_been_drawn():
    distiller, optimizer = make(seed=3)
    train(distiller, optimizer, 5)
    fresh, other = make(seed=3)
    fresh.load_state_dict(copy.deepcopy(distiller.state_dict()))
    assert train(fresh, other, 5) == drawn(range(5, 10), seed=3)
    twin = copy.deepcopy(distiller)
    assert train(distiller, optimizer, 5) == drawn(range(5, 10), seed=3)
    assert twin.teachers["teacher"].drawn == drawn([5], seed=3)[0]


def test_drawing_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    drawn(range(5))
    assert torch.equal(torch.get_rng_state(), state)


def test_prepare_tries_every_member():
    members = {name: Counting(np.zeros((7, 4))) for name in "abc"}
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": RandomTeacher(members)}).prepare([BATCH])
    assert all(member.runs > 0 for member in members.values())
    assert distiller.teachers["teacher"].drawn == drawn([0])[0]


def test_members_of_other_outputs_are_refused_by_prepare_also_inside_an_ensemble():
    inner = RandomTeacher({"a": Frozen(mlp(1)), "b": Frozen(mlp(2), {"hidden": "1"})})
    for teacher in (inner, Ensemble({"one": inner, "two": Frozen(mlp(3))})):
        distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": teacher})
        with refused(ArgumentError, "mismatch", "teachers.teacher"):
            distiller.prepare([BATCH])


def test_a_member_that_follows_the_student():
    teacher = RandomTeacher({"own": EMA(decay=0.5), "other": Frozen(mlp(3))})
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": teacher}).prepare([BATCH])
    shadow = teacher.members["own"].model.model
    with torch.no_grad():
        distiller.students["student"].model[0].bias.add_(1.0)
    before = shadow[0].bias.clone()
    distiller.after_step()
    # It follows at every step, drawn or not.
    torch.testing.assert_close(shadow[0].bias - before, torch.full_like(before, 0.5))


def test_processes_draw_the_same(ranks):
    one, two = ranks(tasks.drawn_teachers, 8)
    assert one == two == drawn(range(8), seed=5)


def test_compiled_it_equals_the_eager_one_whichever_is_drawn():
    torch.compiler.reset()
    distiller, _ = make(seed=3)
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    for _ in range(5):
        torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())
        distiller.after_step()


def test_members_of_common_classes_are_mapped_together():
    def some(to):
        return MapClasses(Given(np.zeros((1, 2))), classes=[2, 0], to=range(to))

    assert RandomTeacher({"a": some(4), "b": some(4)}).known == ((0, 2), 4)
    with pytest.raises(ArgumentError, match="know different classes"):
        RandomTeacher({"a": some(4), "b": Given(np.zeros((1, 4)))})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomTeacher({}), "the random teacher needs at least one member"),
        (lambda: drawn([], weights={"a": 1}), r"no weight for \['b', 'c'\]"),
        (lambda: drawn([], weights={"d": 1}), "the random teacher has no member 'd'"),
        (lambda: drawn([], weights={"a": 0, "b": 0, "c": 0}), "at least 0 and not all 0"),
        (lambda: RandomTeacher({"a.b": Given(np.zeros((1, 2)))}), r"the member name 'a\.b' must match"),
    ],
)
def test_what_cannot_be_right_is_refused_when_built(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_its_name_and_what_it_reads():
    assert lookup("teacher", "random") is RandomTeacher
    members = {"a": Given(0.0, ("batch.x", "batch.y")), "b": Given(0.0, ("batch.z", "batch.x"))}
    assert RandomTeacher(members).reads == ("batch.x", "batch.y", "batch.z")
