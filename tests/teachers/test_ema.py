"""The moving average, against averages computed from the recorded weights of the student."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from core.toys import CE, KL, Squared, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import EMA, Ensemble, Frozen
from refusals import refused
from teachers import ranks as tasks

BATCH = make_batch(7)
INPUTS = BATCH["inputs"]


def make(student=None, seed=0, **options) -> tuple[Distiller, torch.optim.Optimizer]:
    terms = {"hard": Term(CE()), "soft": Term(KL())}
    student = mlp(seed) if student is None else student
    distiller = Distiller(student, terms, {"teacher": EMA(**options)}).prepare([BATCH])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5, momentum=0.9)
    distiller.attach(optimizer)
    return distiller, optimizer


def train(distiller, optimizer, steps, micro_batches=1) -> list[np.ndarray]:
    """The student's weights before, and after every step."""
    seen = [flat(distiller.students["student"].model)]
    for step in steps:
        optimizer.zero_grad()
        for part in range(micro_batches):
            distiller(make_batch(7, seed=100 * step + part)).loss().backward()
        optimizer.step()
        seen.append(flat(distiller.students["student"].model))
    return seen


def flat(model) -> np.ndarray:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()]).numpy()


def shadow(distiller) -> nn.Module:
    return distiller.teachers["teacher"].model.model


def averaged(weights, decay, warm_up) -> np.ndarray:
    """Each weight vector times the share that is left of it in the end."""
    decays = [min(decay, 1 - 1 / (t + 1)) if warm_up else decay for t in range(1, len(weights))]
    shares = [1 - d for d in [0.0, *decays]]
    left = [np.prod(decays[t:]) for t in range(len(weights))]
    return sum(share * rest * w for share, rest, w in zip(shares, left, weights, strict=True))


@pytest.mark.parametrize("warm_up", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.7, 0.999])
def test_the_average_of_all_weights_so_far(decay, warm_up):
    distiller, optimizer = make(decay=decay, warm_up=warm_up)
    weights = train(distiller, optimizer, range(6))
    np.testing.assert_allclose(flat(shadow(distiller)), averaged(weights, decay, warm_up), rtol=1e-10)


def test_a_long_memory_begins_as_the_plain_mean():
    distiller, optimizer = make(decay=0.999)
    weights = train(distiller, optimizer, range(5))
    np.testing.assert_allclose(flat(shadow(distiller)), np.mean(weights, axis=0), rtol=1e-10)


def test_it_moves_once_for_each_step_and_not_for_a_micro_batch():
    distiller, optimizer = make(decay=0.7)
    weights = train(distiller, optimizer, range(4), micro_batches=3)
    np.testing.assert_allclose(flat(shadow(distiller)), averaged(weights, 0.7, True), rtol=1e-10)


def test_the_student_learns_from_the_average():
    distiller, optimizer = make(decay=0.7)
    weights = train(distiller, optimizer, range(3))
    student, teacher = mlp(0), mlp(0)
    fill(student, weights[-1])
    fill(teacher, averaged(weights, 0.7, True))
    inputs, target = BATCH["inputs"], BATCH["target"]
    logits = student(inputs)
    (nn.functional.cross_entropy(logits, target) + kl_by_hand(logits, teacher(inputs).detach())).backward()
    distiller.zero_grad()
    distiller(BATCH).loss().backward()
    found = gradients(distiller.students["student"].model)
    torch.testing.assert_close(found, gradients(student), rtol=1e-6, atol=1e-9)


def fill(model, weights) -> None:
    nn.utils.vector_to_parameters(torch.as_tensor(weights), model.parameters())


def test_until_the_first_step_it_is_the_student_whatever_has_been_loaded():
    distiller, _ = make(seed=0)
    distiller.students["student"].model.load_state_dict(mlp(5).state_dict())
    out = distiller(BATCH)
    torch.testing.assert_close(out.outputs["teacher"]["logits"], out.outputs["student"]["logits"])
    torch.testing.assert_close(out.outputs["teacher"]["logits"], mlp(5)(BATCH["inputs"]).detach())
    assert not out.outputs["teacher"]["logits"].requires_grad


def test_it_is_in_the_state_and_in_nothing_that_is_trained_or_broadcast():
    distiller, _ = make(tasks.with_statistics(0))
    names = {name for name in distiller.state_dict() if "_teacher" in name}
    assert {name.rpartition("_teacher.")[2] for name in names} == set(tasks.with_statistics(0).state_dict())
    assert not any("teacher" in name for name, _ in distiller.named_parameters())
    assert not any("teacher" in name for name, _ in distiller.named_buffers())


@pytest.mark.parametrize("decay", [0.7, 0.999])
def test_resuming_goes_on_as_if_nothing_had_happened(decay):
    unbroken, optimizer = make(tasks.with_statistics(0), decay=decay)
    train(unbroken, optimizer, range(7))
    first, optimizer = make(tasks.with_statistics(0), decay=decay)
    train(first, optimizer, range(3))
    second, other = make(tasks.with_statistics(3), decay=decay)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(second, other, range(3, 7))
    torch.testing.assert_close(dict(second.state_dict()), dict(unbroken.state_dict()), rtol=0, atol=0)


def test_a_state_that_does_not_fit_is_refused():
    state = make()[0].state_dict()
    key = next(name for name in state if "_teacher" in name)
    with pytest.raises(RuntimeError, match="size mismatch"):
        make(mlp(0, hidden=9))[0].load_state_dict(state)
    with pytest.raises(RuntimeError, match=f"Missing key.*{key}"):
        make()[0].load_state_dict({name: value for name, value in state.items() if name != key})
    with pytest.raises(RuntimeError, match=f"Unexpected key.*{key}.more"):
        make()[0].load_state_dict({**state, f"{key}.more": torch.zeros(1)})


def test_a_copy_follows_its_own_student():
    distiller, optimizer = make(decay=0.7)
    weights = train(distiller, optimizer, range(2))
    twin = copy.deepcopy(distiller)
    other = torch.optim.SGD(twin.parameters(), lr=0.5)
    twin.attach(other)
    more = train(twin, other, range(2, 4))
    np.testing.assert_allclose(flat(shadow(distiller)), averaged(weights, 0.7, True), rtol=1e-10)
    np.testing.assert_allclose(flat(shadow(twin)), averaged([*weights, *more[1:]], 0.7, True), rtol=1e-10)


class Buffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4).double()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]).double())
        self.register_buffer("level", torch.zeros(()).double())
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs):
        if self.training:
            self.level += 1
            self.calls += 1
        return self.linear(inputs)


def test_buffers_are_averaged_and_counters_copied():
    distiller, optimizer = make(Buffers(), decay=0.7)
    train(distiller, optimizer, range(3))
    found = dict(shadow(distiller).named_buffers())
    levels = [np.array(float(t)) for t in range(4)]
    assert found["level"].item() == pytest.approx(float(averaged(levels, 0.7, True)))
    assert found["calls"] == 3
    assert found["mask"].tolist() == [0.0, -torch.inf]


def test_running_statistics_are_used_and_not_moved_by_its_own_forward():
    distiller, optimizer = make(tasks.with_statistics(0))
    train(distiller, optimizer, range(2))
    before = copy.deepcopy(shadow(distiller).state_dict())
    model = tasks.with_statistics(0).eval()
    model.load_state_dict(before)
    out = distiller(BATCH)
    torch.testing.assert_close(out.outputs["teacher"]["logits"], model(BATCH["inputs"]).detach())
    torch.testing.assert_close(dict(shadow(distiller).state_dict()), dict(before), rtol=0, atol=0)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6).double(), nn.Linear(6, 6).double()
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.second(self.first(inputs))[:, :4]


def test_tied_weights_stay_tied_and_are_averaged_once():
    distiller, optimizer = make(Tied(), decay=0.7)
    weights = train(distiller, optimizer, range(3))
    model = shadow(distiller)
    assert model.first.weight is model.second.weight
    np.testing.assert_allclose(flat(model), averaged(weights, 0.7, True), rtol=1e-10)


def test_a_student_in_bfloat16_is_averaged_and_run_in_float32():
    student = mlp(0, torch.bfloat16)
    batch = make_batch(7, dtype=torch.bfloat16)
    distiller = Distiller(student, {"soft": Term(KL())}, {"teacher": EMA(decay=0.999, warm_up=False)})
    distiller(batch)
    before = flat(shadow(distiller))
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    distiller.after_step()
    moved = flat(shadow(distiller)) - before
    np.testing.assert_allclose(moved, 0.001, rtol=0.02)
    assert distiller(batch).outputs["teacher"]["logits"].dtype == torch.float32
    distiller.bfloat16()
    np.testing.assert_array_equal(flat(shadow(distiller)) - before, moved)


def test_it_follows_to_a_dtype_and_a_device():
    distiller, _ = make()
    assert {p.dtype for p in shadow(distiller.float()).parameters()} == {torch.float32}
    assert {p.device.type for p in shadow(distiller.to("meta")).parameters()} == {"meta"}


def test_one_of_several_students_by_its_taps_and_with_inputs_of_its_own():
    students = {"a": mlp(0), "b": Tapped(mlp(1), {"hidden": "1"}, inputs="batch.strong")}
    hint = {"student": "b.hidden", "teacher": "teacher.hidden"}
    terms = {"hard": Term(CE(), {"student": "a.logits"}), "hint": Term(Squared(), hint)}
    distiller = Distiller(students, terms, {"teacher": EMA("b", inputs="batch.inputs")})
    assert distiller.teachers["teacher"].reads == ("batch.inputs",)
    out = distiller({**BATCH, "strong": BATCH["inputs"] * 2})
    torch.testing.assert_close(out.outputs["teacher"]["hidden"], mlp(1)[:2](BATCH["inputs"]).detach())
    torch.testing.assert_close(out.outputs["b"]["hidden"], mlp(1)[:2](BATCH["inputs"] * 2))


def test_a_model_that_is_called_by_keyword():
    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = mlp(0)

        def forward(self, values, mask, double=False):
            return {"logits": self.model(values * mask) * (2 if double else 1)}

    student = Tapped(Keywords(), {"hidden": "model.1"}, call={"double": True})
    distiller = Distiller(student, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": EMA()})
    batch = {**BATCH, "inputs": {"values": INPUTS, "mask": torch.ones(7, 1, dtype=torch.float64)}}
    out = distiller.prepare([batch])(batch)
    for name in ("logits", "hidden"):
        torch.testing.assert_close(out.outputs["teacher"][name], out.outputs["student"][name].detach())
    torch.testing.assert_close(out.outputs["teacher"]["logits"], 2 * mlp(0)(INPUTS).detach())


def test_by_default_it_sees_what_the_student_sees():
    terms = {"soft": Term(KL())}
    distiller = Distiller(Tapped(mlp(0), inputs="batch.strong"), terms, {"teacher": EMA()})
    assert distiller.teachers["teacher"].reads == ("batch.strong",)


def test_as_a_member_of_an_ensemble():
    ensemble = Ensemble({"own": EMA(decay=0.7), "other": Frozen(mlp(3))})
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": ensemble})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    distiller.attach(optimizer)
    weights = train(distiller, optimizer, range(3))
    found = flat(ensemble.members["own"].model.model)
    np.testing.assert_allclose(found, averaged(weights, 0.7, True), rtol=1e-10)


def test_its_parameters_can_be_read():
    class Distance(nn.Module):
        def forward(self, student, teacher):
            return (student - teacher).square().sum().reshape(1)

    inputs = {"student": "student.parameters.0.weight", "teacher": "teacher.parameters.0.weight"}
    terms = {"near": Term(Distance(), inputs), "hard": Term(CE())}
    distiller = Distiller(mlp(0), terms, {"teacher": EMA()})
    distiller.prepare([BATCH])
    with torch.no_grad():
        distiller.students["student"].model[0].weight.add_(1)
    distiller.after_step()
    assert distiller(BATCH).terms["near"].sum.item() == pytest.approx(48 * 0.25)


def test_processes_with_other_rows_and_other_initial_weights_have_the_same_average(ranks):
    one, two = ranks(tasks.mean_teacher, 3)
    torch.testing.assert_close(one["shadow"], two["shadow"], rtol=0, atol=0)
    torch.testing.assert_close(one["statistics"], two["statistics"], rtol=0, atol=0)
    assert not torch.equal(one["own"]["1.running_mean"], two["own"]["1.running_mean"])
    for name, found in one["shadow"].items():
        weights = [w[name].numpy() for w in one["weights"]]
        np.testing.assert_allclose(found.numpy(), averaged(weights, 0.8, True), rtol=1e-10)
    assert not any("teacher" in name for name in one["broadcast"])


def test_it_follows_weights_that_are_spread_over_processes(ranks):
    for answer in ranks(tasks.sharded_mean_teacher, 3):
        for name, found in answer["shadow"].items():
            weights = [w[name].numpy() for w in answer["weights"]]
            np.testing.assert_allclose(found.numpy(), averaged(weights, 0.8, True), rtol=1e-10)


def test_compiled_it_equals_the_eager_one():
    torch.compiler.reset()
    distillers = [make(decay=0.7) for _ in range(2)]
    forwards = [torch.compile(distillers[0][0], fullgraph=True, backend="aot_eager"), distillers[1][0]]
    for step in range(3):
        losses = []
        for forward, (_, optimizer) in zip(forwards, distillers, strict=True):
            optimizer.zero_grad()
            loss = forward(make_batch(7, seed=step)).loss()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.testing.assert_close(*losses)
    np.testing.assert_allclose(*(flat(shadow(distiller)) for distiller, _ in distillers), rtol=1e-10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EMA(decay=1.0), r"decay=1\.0; it must be at least 0 and below 1"),
        (lambda: EMA(decay=float("nan")), "at least 0 and below 1"),
        (lambda: make(student={"a": mlp(0)}), r"no student 'student' to follow\. Known: 'a'"),
        (lambda: EMA().model, "follows no student yet; give it to a Distiller"),
        (lambda: EMA()({"batch": BATCH}), "follows no student yet"),
    ],
)
def test_what_cannot_be_right_is_refused(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_it_cannot_follow_two_students():
    teacher = EMA()
    Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": teacher})
    with refused(
        ArgumentError, "in_use", "teachers.teacher", match="follows the student of a Distiller already; make a new one"
    ):
        Distiller(mlp(1), {"soft": Term(KL())}, {"teacher": teacher})


def test_its_name():
    assert lookup("teacher", "ema") is EMA
