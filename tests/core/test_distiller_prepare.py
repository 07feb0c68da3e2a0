"""Prepare tries everything and leaves no trace, but for what the losses learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.toys import CE, KL, Relation, Squared, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.losses import HiddenStatesMSE, HintMSE
from limbeck.teachers import Frozen
from refusals import refused

BATCHES = [make_batch(7, seed) for seed in range(3)]


class Counting(nn.Module):
    """Changes buffers in eval mode too: in place, by assignment, and from nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("in_place", torch.zeros(()))
        self.register_buffer("assigned", torch.zeros(()))
        self.register_buffer("absent", None)

    def forward(self, inputs):
        self.in_place += 1
        self.assigned = self.assigned + 1
        self.absent = torch.ones(())
        return inputs


class Noisy(nn.Module):
    def forward(self, inputs):
        return inputs + torch.randn_like(inputs)


class Lazy(nn.Module):
    """Sizes itself, learns a margin, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.UninitializedParameter(dtype=torch.float64)
        self.register_buffer("margin", torch.zeros((), dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.samples = []

    def prepare(self, samples):
        self.samples = samples
        self.map.materialize((samples[0]["student"].shape[-1], samples[0]["teacher"].shape[-1]))
        nn.init.normal_(self.map)
        self.margin.copy_(torch.cat([sample["teacher"] for sample in samples]).mean())

    def forward(self, student, teacher):
        self.calls += 1
        return (student @ self.map - teacher + self.margin).square().mean(-1)


HIDDEN = {"student": "student.hidden", "teacher": "teacher.hidden"}


def with_hint(loss, student=None):
    student = mlp(0) if student is None else student
    return Distiller(
        Tapped(student, {"hidden": "1"}),
        {"hint": Term(loss, HIDDEN)},
        {"teacher": Frozen(mlp(1, hidden=16), {"hidden": "1"})},
    )


def test_random_state_buffers_and_modes_are_as_before():
    model = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8, momentum=0.5), nn.Dropout(0.5), Counting(), Noisy(), nn.Linear(8, 4)
    ).double()
    distiller = Distiller(model, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": Frozen(mlp(1))})
    model[1].eval()
    model[3].register_buffer("extra", torch.ones(()))
    buffers = {name: (id(buffer), buffer.clone()) for name, buffer in distiller.named_buffers()}
    modes = {name: module.training for name, module in distiller.named_modules()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert distiller.prepare(BATCHES) is distiller
    assert torch.equal(torch.get_rng_state(), state)
    after = dict(distiller.named_buffers())
    assert set(after) == set(buffers)
    for name, (identity, value) in buffers.items():
        assert id(after[name]) == identity, name
        assert torch.equal(after[name], value), name
    assert {name: module.training for name, module in distiller.named_modules()} == modes
    assert model.training
    assert not model[1].training


def test_models_run_in_eval_mode():
    seen = []
    model = mlp(0)
    model[0].register_forward_hook(lambda module, args, output: seen.append(module.training))
    Distiller(model, {"hard": Term(CE())}).prepare(BATCHES)
    assert seen == [False] * 3


def test_everything_is_as_before_after_an_error_too():
    distiller = with_hint(Squared())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="must match"):
        distiller.prepare(BATCHES)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in distiller.students["student"].modules())


def test_gradients_are_on_for_prepare_and_none_is_left():
    class Needs(nn.Module):
        def prepare(self, samples):
            self.requires = [sample["student"].requires_grad for sample in samples]

        def forward(self, student):
            return student.sum(-1)

    loss = Needs()
    distiller = Distiller(mlp(0), {"needs": Term(loss)})
    with torch.no_grad():
        distiller.prepare(BATCHES)
    assert loss.requires == [True] * 3
    assert all(p.grad is None for p in distiller.parameters())


def test_a_lazy_loss_is_sized_with_what_it_will_read_and_keeps_what_it_learns():
    loss = Lazy()
    distiller = with_hint(loss).prepare(iter(BATCHES))
    assert loss.map.shape == (8, 16)
    assert len(loss.samples) == 3
    teacher = mlp(1, hidden=16)
    hidden = [teacher[1](teacher[0](batch["inputs"])) for batch in BATCHES]
    for sample, expected in zip(loss.samples, hidden, strict=True):
        torch.testing.assert_close(sample["teacher"], expected.detach())
        assert not sample["teacher"].requires_grad
    torch.testing.assert_close(loss.margin, torch.cat(hidden).mean().detach())
    # The trial of the loss leaves no trace, what it learned stays.
    assert loss.calls == 0
    distiller(BATCHES[0]).loss().backward()
    assert loss.map.grad is not None
    assert loss.calls == 1


def test_the_projection_of_hint_mse_is_sized():
    loss = HintMSE()
    distiller = with_hint(loss).prepare(BATCHES)
    assert {p.numel() for p in loss.parameters()} == {16 * 8, 16}
    assert {id(p) for p in loss.parameters()} < {id(p) for p in distiller.parameters()}
    distiller(BATCHES[0]).loss().backward()
    assert all(p.grad is not None for p in distiller.parameters() if p.shape[0] in (8, 16))


class Learning(nn.Module):
    prepare_batches = 3

    def prepare(self, samples):
        self.samples = samples

    def forward(self, student, teacher):
        return (student.sum(-1) - teacher.sum(-1)).square()


class Differentiating(Learning):
    differentiates = ("student",)


def test_a_loss_says_how_many_batches_it_learns_from():
    one = Distiller(mlp(0), {"hard": Term(CE())})
    assert one.prepare_batches == 1
    several = {"hard": Term(CE()), "learning": Term(Learning(), HIDDEN)}
    teachers = {"teacher": Frozen(mlp(1, hidden=16), {"hidden": "1"})}
    assert Distiller(Tapped(mlp(0), {"hidden": "1"}), several, teachers).prepare_batches == 3
    # A part of a loss may ask too.
    assert [with_hint(HiddenStatesMSE(layers=rule)).prepare_batches for rule in ("last", "auto")] == [1, 8]


@pytest.mark.parametrize(("loss", "kept"), [(Learning(), [True, False, False]), (Differentiating(), [True] * 3)])
def test_only_the_first_board_keeps_its_graph_unless_a_loss_differentiates(loss, kept):
    distiller = with_hint(loss).prepare(BATCHES)
    assert [sample["student"].grad_fn is not None for sample in loss.samples] == kept
    assert all(sample["student"].requires_grad for sample in loss.samples)
    student = distiller.students["student"]
    for sample, batch in zip(loss.samples, BATCHES, strict=True):
        assert torch.equal(sample["student"], student(batch["inputs"])["hidden"])


def test_shapes_that_do_not_fit_are_refused():
    with refused(ArgumentError, "mismatch", "terms.hint.student_features"):
        with_hint(HintMSE(student_features=5, teacher_features=16)).prepare(BATCHES)
    fewer = {**BATCHES[0], "few": torch.ones(5, 4, dtype=torch.float64)}
    with pytest.raises(RuntimeError) as caught:
        Distiller(mlp(0), {"pairs": Term(Relation(), {"teacher": "batch.few"})}).prepare([fewer])
    assert caught.value.__notes__ == ["in the term 'pairs'"]
    with refused(ArgumentError, "wrong_shape", "terms.hard.mask"):
        Distiller(mlp(0), {"hard": Term(CE(), where="batch.m")}).prepare(
            [{**BATCHES[0], "m": torch.ones(7, 2, dtype=torch.bool)}]
        )


def test_every_batch_is_tried():
    wrong = {**BATCHES[1], "admitted": BATCHES[1]["admitted"].double()}
    with pytest.raises(ArgumentError, match=r"where=.*float64"):
        Distiller(mlp(0), {"hard": Term(CE(), where="batch.admitted")}).prepare([BATCHES[0], wrong])


def test_no_batch_is_refused():
    with refused(ArgumentError, "missing", "batches"):
        Distiller(mlp(0), {"hard": Term(CE())}).prepare([])


def test_an_error_of_a_teacher_names_it():
    class Broken:
        reads = ("batch.inputs",)

        def __call__(self, board):
            raise ZeroDivisionError("of its own")

    broken = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": Broken()})
    with refused(ArgumentError, "failed", "teachers.teacher", match="ZeroDivisionError: of its own"):
        broken.prepare(BATCHES)
    with pytest.raises(ZeroDivisionError):
        broken(BATCHES[0])
