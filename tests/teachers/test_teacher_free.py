from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.toys import CE, KL, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import TeacherFree

BATCH = make_batch(7)


def board(target):
    return {"batch": {"target": torch.as_tensor(target)}}


@pytest.mark.parametrize("classes", [2, 5, 100])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_the_label_has_its_probability_and_the_others_share_the_rest(classes, confidence):
    logits = TeacherFree(classes=classes, confidence=confidence)(board([0, classes - 1, 1]))["logits"]
    expected = np.full((3, classes), (1 - confidence) / (classes - 1))
    expected[[0, 1, 2], [0, classes - 1, 1]] = confidence
    np.testing.assert_allclose(logits.softmax(-1), expected, rtol=1e-5)
    assert not logits.requires_grad


def test_rows_without_a_label_get_the_uniform_distribution():
    probabilities = TeacherFree(classes=4)(board([2, -100]))["logits"].softmax(-1)
    np.testing.assert_allclose(probabilities[1], 0.25)
    assert probabilities[0, 2] == pytest.approx(0.99)


def test_sequences():
    flat = TeacherFree(classes=4)(board([0, 1, -100, 3]))["logits"]
    torch.testing.assert_close(TeacherFree(classes=4)(board([[0, 1], [-100, 3]]))["logits"], flat.view(2, 2, 4))


def test_it_regularizes_like_label_smoothing_at_temperature_1():
    """Section 4.2 of the paper: cross-entropy with the virtual teacher is label smoothing."""

    class Soft(torch.nn.Module):
        def forward(self, student, teacher):
            return -(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1)

    distiller = Distiller(mlp(0), {"soft": Term(Soft())}, {"teacher": TeacherFree(classes=4, confidence=0.925)})
    distiller(BATCH).loss().backward()
    model = mlp(0)
    # torch spreads the smoothing over all four classes, so the label keeps a quarter of it.
    F.cross_entropy(model(BATCH["inputs"]), BATCH["target"], label_smoothing=0.1).backward()
    found = gradients(distiller.students["student"].model)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-7)


def test_teacher_free_distillation_with_few_labels():
    batch = {**BATCH, "target": BATCH["target"].masked_fill(~BATCH["admitted"], -100)}
    terms = {"hard": Term(CE(), weight=0.9), "soft": Term(KL(), weight=0.1, where="batch.admitted")}
    distiller = Distiller(mlp(0), terms, {"teacher": TeacherFree(classes=4)}).prepare([batch])
    distiller(batch).loss().backward()
    model, chosen = mlp(0), batch["admitted"]
    logits, target = model(batch["inputs"])[chosen], batch["target"][chosen]
    virtual = torch.full((len(target), 4), 0.01 / 3, dtype=torch.float64).scatter(1, target[:, None], 0.99)
    (0.9 * F.cross_entropy(logits, target) + 0.1 * kl_by_hand(logits, virtual.log())).backward()
    found = gradients(distiller.students["student"].model)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-7)


def test_compiled_it_equals_the_eager_one():
    torch.compiler.reset()
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": TeacherFree(classes=4)})
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TeacherFree(classes=1), "classes is 1; expected at least 2"),
        (lambda: TeacherFree(classes=4, confidence=0.25), r"confidence is 0\.25; expected a probability above 0\.25"),
        (lambda: TeacherFree(classes=4, confidence=1.0), "below 1"),
        (
            lambda: TeacherFree(classes=4)(board([0.5])),
            r"'batch\.target' holds torch\.float32; expected integer classes",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_its_name_and_what_it_reads():
    assert lookup("teacher", "teacher_free") is TeacherFree
    assert TeacherFree(classes=4, target="batch.coarse").reads == ("batch.coarse",)
