"""Modules of the teacher in the student: copied and frozen, or the same weights."""

from __future__ import annotations

import copy
import pickle

import onnx
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from core.toys import CE, KL, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError, RunError
from limbeck.export import Session, export_onnx
from limbeck.measure import parameters
from limbeck.models import load_weights, save_weights, share_
from limbeck.teachers import EMA, Frozen
from models import tied_ranks as tasks
from refusals import refused

BATCH = make_batch(7)
INPUTS, TARGET = BATCH["inputs"], BATCH["target"]
HEAD = {"2": "2"}


def with_statistics(seed) -> nn.Sequential:
    model = mlp(seed)
    return nn.Sequential(nn.Sequential(model[0], nn.BatchNorm1d(8).double(), nn.Dropout(0.5)), model[1], model[2])


def test_frozen_weights_are_the_teacher_s_and_stay_so():
    student, teacher = mlp(0), mlp(1)
    assert share_(student, teacher, HEAD) is student
    distiller = Distiller(student, {"hard": Term(CE())}, {"teacher": Frozen(teacher)})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    for _ in range(2):
        distiller(BATCH).loss().backward()
        optimizer.step()
    torch.testing.assert_close(student[2].weight, mlp(1)[2].weight, rtol=0, atol=0)
    assert student[2].weight is not teacher[2].weight
    assert not torch.equal(student[0].weight, mlp(0)[0].weight)
    assert student[2].weight.grad is None


def test_the_gradient_reaches_what_lies_in_front_of_frozen_weights():
    student, by_hand = share_(mlp(0), mlp(1), HEAD), mlp(0)
    Distiller(student, {"hard": Term(CE())})(BATCH).loss().backward()
    head = mlp(1)[2]
    F.cross_entropy(F.linear(by_hand[:2](INPUTS), head.weight.detach(), head.bias.detach()), TARGET).backward()
    torch.testing.assert_close(gradients(student), {k: v for k, v in gradients(by_hand).items() if k[0] == "0"})


def test_a_frozen_part_stays_in_eval_mode():
    student, teacher = with_statistics(0), with_statistics(1)
    teacher[0][1].running_mean.fill_(2.0)
    share_(student, teacher, {"0": "0"})
    distiller = Distiller(student, {"hard": Term(CE())}).train()
    for model in (distiller, copy.deepcopy(distiller)):
        found = model.train()(BATCH).outputs["student"]["logits"]
        expected = student[2](student[1](teacher.eval()[0](INPUTS)))
        torch.testing.assert_close(found, expected)
        assert model.students["student"].model[2].training
    assert student[0][1].running_mean.tolist() == [2.0] * 8
    assert student[0][1].num_batches_tracked == 0


def test_frozen_parts_are_pickled_and_compiled():
    torch.compiler.reset()
    student = share_(with_statistics(0), with_statistics(1), {"0": "0"})
    again = pickle.loads(pickle.dumps(student)).train()
    torch.testing.assert_close(again(INPUTS), student.train()(INPUTS))
    distiller = Distiller(student, {"hard": Term(CE())}).train()
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())


def test_tied_weights_are_one():
    student, teacher = with_statistics(0), with_statistics(1)
    teacher[0][1].running_mean.fill_(2.0)
    share_(student, teacher, {"0": "0"}, mode="tied")
    for name, parameter in student[0].named_parameters():
        assert parameter is teacher[0].get_parameter(name)
    assert student[0][1].running_mean.tolist() == [2.0] * 8
    assert student[0][1].running_mean is not teacher[0][1].running_mean


def test_tied_to_a_teacher_that_trains_along():
    """The shared weights get the gradients of both models, and are stepped once."""
    student, teacher = mlp(0), mlp(1)
    share_(student, teacher, HEAD, mode="tied")
    terms = {"hard": Term(CE()), "soft": Term(KL()), "teach": Term(CE(), {"student": "teacher.logits"})}
    distiller = Distiller({"student": student, "teacher": teacher}, terms).prepare([BATCH])
    distiller(BATCH).loss().backward()
    one, two = mlp(0), mlp(1)
    logits, taught = two[2](one[:2](INPUTS)), two(INPUTS)
    loss = F.cross_entropy(logits, TARGET) + kl_by_hand(logits, taught.detach()) + F.cross_entropy(taught, TARGET)
    loss.backward()
    torch.testing.assert_close(student[2].weight.grad, two[2].weight.grad)
    torch.testing.assert_close(student[0].weight.grad, one[0].weight.grad)
    assert len(list(distiller.parameters())) == 6
    twin = copy.deepcopy(distiller)
    assert twin.students["student"].model[2].weight is twin.students["teacher"].model[2].weight
    assert twin.students["student"].model[2].weight is not student[2].weight
    fresh = Distiller({"student": mlp(3), "teacher": mlp(4)}, terms)
    fresh.load_state_dict(distiller.state_dict())
    torch.testing.assert_close(fresh(BATCH).loss(), distiller(BATCH).loss())


@pytest.mark.parametrize("first", [True, False])
def test_tied_to_a_frozen_teacher_they_are_frozen_too(first):
    student, teacher = with_statistics(0), with_statistics(1)
    frozen = Frozen(teacher) if first else None
    share_(student, teacher, {"0": "0"}, mode="tied")
    frozen = frozen or Frozen(teacher)
    distiller = Distiller(student, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": frozen})
    before = frozen({"batch": BATCH})["logits"]
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    for _ in range(2):
        distiller(BATCH).loss().backward()
        optimizer.step()
    torch.testing.assert_close(student[0][0].weight, with_statistics(1)[0][0].weight, rtol=0, atol=0)
    # The student normalizes by the batch in training; the teacher by its own statistics.
    torch.testing.assert_close(frozen({"batch": BATCH})["logits"], before, rtol=0, atol=0)
    distiller.float()
    assert student[0][0].weight is teacher[0][0].weight
    assert teacher[0][0].weight.dtype == torch.float32


def test_two_processes_train_tied_weights_as_one(ranks):
    distiller = tasks.tied()
    whole = tasks.steps(distiller.prepare([make_batch(5)]), ((0, 24),))
    one, two = ranks(tasks.tied_half)
    head = "_students._{}.model.2.weight"
    assert torch.equal(one[head.format("student")], one[head.format("peer")])
    assert len([name for name in whole if name.startswith("gradient")]) == 6
    for name, value in whole.items():
        assert torch.equal(one[name], two[name]), name
        torch.testing.assert_close(one[name], value, rtol=1e-6, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


def test_a_mean_teacher_of_a_student_with_a_frozen_part():
    student = share_(mlp(0), mlp(1), HEAD)
    distiller = Distiller(student, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": EMA(decay=0.5)})
    distiller.after_step()
    shadow = distiller.teachers["teacher"].model.model
    torch.testing.assert_close(shadow[2].weight, mlp(1)[2].weight)


class Cell(nn.Module):
    """Two layers of which the second may have the first's weights."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, images):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(images.flatten(1))))))


def cell(seed: int) -> Cell:
    model = Cell(seed)
    return share_(model, model, {"second": "first"}, mode="tied")


IMAGES = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_weights_tied_within_a_model_are_counted_saved_and_exported_once(tmp_path):
    model = cell(0).eval()
    assert parameters(model) == 16 * 16 + 16 + 16 * 3 + 3
    save_weights(model, tmp_path / "model.safetensors")
    written = load_file(tmp_path / "model.safetensors")
    assert sum(value.numel() for value in written.values()) == parameters(model)
    export_onnx(
        model,
        tmp_path / "model.onnx",
        example=IMAGES,
        outputs={"logits": ("batch",)},
        names={"logits": list("abc")},
        metadata={},
    )
    weights = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert sorted(list(one.dims) for one in weights if len(one.dims) == 2) == [[3, 16], [16, 16]]
    logits = torch.as_tensor(Session(tmp_path / "model.onnx")(IMAGES)["logits"])
    torch.testing.assert_close(logits, model(IMAGES).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("other", [cell, Cell])
def test_a_file_of_shared_weights_fills_every_model_of_its_kind(tmp_path, other):
    model = cell(0)
    save_weights(model, tmp_path / "model.safetensors")
    loaded = other(1)
    if other is Cell:
        with pytest.raises(RunError, match=r"lacks second\.(bias|weight)"):
            load_weights(loaded, tmp_path / "model.safetensors")
        return
    load_weights(loaded, tmp_path / "model.safetensors")
    torch.testing.assert_close(loaded(IMAGES), model(IMAGES), rtol=0, atol=0)
    assert loaded.first.weight is loaded.second.weight


def test_a_student_with_a_frozen_part_is_exported(tmp_path):
    student = share_(Cell(0), Cell(1), {"head": "head"}).eval()
    export_onnx(
        student,
        tmp_path / "model.onnx",
        example=IMAGES,
        outputs={"logits": ("batch",)},
        names={"logits": list("abc")},
        metadata={},
    )
    logits = torch.as_tensor(Session(tmp_path / "model.onnx")(IMAGES)["logits"])
    torch.testing.assert_close(logits, student(IMAGES).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (lambda: share_(mlp(0), mlp(1), {"head": "2"}), "the student has no module 'head'"),
        (lambda: share_(mlp(0), mlp(1), {"2": "head"}), "the teacher has no module 'head'"),
        (
            lambda: share_(mlp(0), mlp(1, hidden=16), HEAD),
            r"the student's '2' and the teacher's '2' differ in 'weight': \[4, 8\] and \[4, 16\]; only equal modules",
        ),
        (lambda: share_(mlp(0), mlp(1), {"2": "1"}), "differ in 'bias': .* and absent"),
        (lambda: share_(mlp(0), mlp(1), {"1": "1"}), "the teacher's '1' has no weights to share"),
        (lambda: share_(mlp(0), mlp(1), HEAD, mode="copied"), "mode='copied'; it is 'frozen' or 'tied'"),
    ],
)
def test_what_cannot_be_shared_is_refused(share, message):
    with pytest.raises(ArgumentError, match=message):
        share()


def test_a_refusal_changes_nothing():
    student = mlp(0)
    with refused(ArgumentError, "mismatch", "modules"):
        share_(student, mlp(1), {"2": "2", "0": "2"})
    torch.testing.assert_close(dict(student.state_dict()), dict(mlp(0).state_dict()), rtol=0, atol=0)
    assert all(p.requires_grad for p in student.parameters())
