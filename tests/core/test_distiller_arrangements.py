"""One mechanism for teachers of every kind, each compared with a loop written by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.toys import CE, KL, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.teachers import Ensemble, Frozen

BATCH = make_batch(7)
INPUTS, TARGET = BATCH["inputs"], BATCH["target"]


def assert_equal_gradients(distiller: Distiller, model: nn.Module, name: str = "student") -> None:
    found = gradients(distiller.students[name].model)
    torch.testing.assert_close(found, gradients(model), rtol=1e-6, atol=1e-9)


def test_the_control_is_a_hard_term_alone():
    distiller, model = Distiller(mlp(0), {"hard": Term(CE())}), mlp(0)
    distiller(BATCH).loss().backward()
    F.cross_entropy(model(INPUTS), TARGET).backward()
    assert_equal_gradients(distiller, model)


class TwoExits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.exit, self.last = mlp(0)[:2], mlp(4)[2], mlp(5)[2]

    def forward(self, inputs):
        hidden = self.trunk(inputs)
        self.exit(hidden)
        return self.last(hidden)


def test_self_distillation_from_the_last_exit_to_an_earlier_one():
    terms = {
        "hard": Term(CE()),
        "own": Term(KL(), {"student": "student.exit", "teacher": "student.logits"}, weight=0.5),
    }
    distiller, model = Distiller(Tapped(TwoExits(), {"exit": "exit"}), terms), TwoExits()
    distiller(BATCH).loss().backward()
    hidden = model.trunk(INPUTS)
    logits, early = model.last(hidden), model.exit(hidden)
    (F.cross_entropy(logits, TARGET) + 0.5 * kl_by_hand(early, logits.detach())).backward()
    assert_equal_gradients(distiller, model)


def test_a_student_taught_by_its_own_exit():
    term = Term(KL(), {"teacher": "student.exit"})
    distiller, model = Distiller(Tapped(TwoExits(), {"exit": "exit"}), {"own": term}), TwoExits()
    distiller(BATCH).loss().backward()
    hidden = model.trunk(INPUTS)
    kl_by_hand(model.last(hidden), model.exit(hidden).detach()).backward()
    assert_equal_gradients(distiller, model)
    assert distiller.students["student"].model.exit.weight.grad is None


def test_mutual_learning():
    terms = {
        "hard_a": Term(CE(), {"student": "a.logits"}),
        "hard_b": Term(CE(), {"student": "b.logits"}),
        "a_from_b": Term(KL(), {"student": "a.logits", "teacher": "b.logits"}),
        "b_from_a": Term(KL(), {"student": "b.logits", "teacher": "a.logits"}, weight=0.5),
    }
    distiller = Distiller({"a": mlp(0), "b": mlp(1, hidden=16)}, terms)
    distiller(BATCH).loss().backward()
    one, two = mlp(0), mlp(1, hidden=16)
    a, b = one(INPUTS), two(INPUTS)
    (F.cross_entropy(a, TARGET) + kl_by_hand(a, b.detach())).backward()
    (F.cross_entropy(b, TARGET) + 0.5 * kl_by_hand(b, a.detach())).backward()
    assert_equal_gradients(distiller, one, "a")
    assert_equal_gradients(distiller, two, "b")


def test_several_teachers():
    terms = {
        "one": Term(KL(), {"teacher": "one.logits"}, weight=0.2),
        "two": Term(KL(), {"teacher": "two.logits"}, weight=0.8),
    }
    distiller, model = Distiller(mlp(0), terms, {"one": Frozen(mlp(1)), "two": Frozen(mlp(2))}), mlp(0)
    distiller(BATCH).loss().backward()
    logits = model(INPUTS)
    (0.2 * kl_by_hand(logits, mlp(1)(INPUTS)) + 0.8 * kl_by_hand(logits, mlp(2)(INPUTS))).backward()
    assert_equal_gradients(distiller, model)


def test_an_ensemble_and_one_of_its_members():
    ensemble = Ensemble({"a": Frozen(mlp(1)), "b": Frozen(mlp(2))}, temperature=2.0)
    terms = {"all": Term(KL()), "member": Term(KL(), {"teacher": "teacher.a.logits"}, weight=0.5)}
    distiller, model = Distiller(mlp(0), terms, {"teacher": ensemble}).prepare([BATCH]), mlp(0)
    distiller(BATCH).loss().backward()
    logits, a, b = model(INPUTS), mlp(1)(INPUTS).detach(), mlp(2)(INPUTS).detach()
    mean = ((a / 2).softmax(-1) + (b / 2).softmax(-1)) / 2
    divergence = F.kl_div((logits / 2).log_softmax(-1), mean, reduction="batchmean") * 4
    (divergence + 0.5 * kl_by_hand(logits, a)).backward()
    assert_equal_gradients(distiller, model)
    assert not any("_teacher" in name for name in distiller.state_dict())


def test_few_labels():
    terms = {"hard": Term(CE(), where="batch.admitted"), "soft": Term(KL())}
    distiller, model = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))}), mlp(0)
    distiller(BATCH).loss().backward()
    logits, labelled = model(INPUTS), BATCH["admitted"]
    (F.cross_entropy(logits[labelled], TARGET[labelled]) + kl_by_hand(logits, mlp(1)(INPUTS).detach())).backward()
    assert_equal_gradients(distiller, model)


def test_inputs_of_their_own():
    views = {**BATCH, "strong": INPUTS * 2}
    student, teacher = Tapped(mlp(0), inputs="batch.strong"), Frozen(mlp(1), inputs="batch.inputs")
    distiller, model = Distiller(student, {"soft": Term(KL())}, {"teacher": teacher}), mlp(0)
    distiller(views).loss().backward()
    kl_by_hand(model(INPUTS * 2), mlp(1)(INPUTS).detach()).backward()
    assert_equal_gradients(distiller, model)
