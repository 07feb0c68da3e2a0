from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from limbeck.errors import ArgumentError
from limbeck.measure import TeacherAgreement, TeacherKL
from measure.one_metric import table
from refusals import refused

RANDOM = np.random.default_rng(0)
LOGITS, TEACHER = RANDOM.normal(size=(2, 100, 6)) * 2
TARGET = RANDOM.integers(0, 6, 100)


def test_kl_is_from_teacher_to_model_in_nats() -> None:
    expected = rel_entr(softmax(TEACHER, axis=1), softmax(LOGITS, axis=1)).sum(axis=1)
    np.testing.assert_allclose(table(TeacherKL(), LOGITS, TARGET, TEACHER)[:, 0], expected, rtol=1e-10)


def test_agreement_is_blind_to_the_true_class() -> None:
    expected = [float(a.argmax() == b.argmax()) for a, b in zip(LOGITS, TEACHER, strict=True)]
    rows = table(TeacherAgreement(), LOGITS, TARGET, TEACHER)
    assert rows[:, 0].tolist() == expected
    assert (rows == table(TeacherAgreement(), LOGITS, (TARGET + 1) % 6, TEACHER)).all()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_copy_of_the_teacher_agrees_and_has_no_divergence(scale: float) -> None:
    assert table(TeacherAgreement(), scale * TEACHER, TARGET, scale * TEACHER).min() == 1
    assert table(TeacherKL(), scale * TEACHER, TARGET, scale * TEACHER).tolist() == [[0.0]] * 100


@pytest.mark.parametrize("metric", [TeacherAgreement(), TeacherKL()])
def test_needs_a_reference(metric: TeacherAgreement | TeacherKL) -> None:
    assert metric.needs_reference
    with refused(ArgumentError, "missing", "reference"):
        table(metric, LOGITS, TARGET)
