"""Losses and teachers that take classes for exclusive, in tasks where they are and where they are not."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from limbeck import registry
from limbeck.core import Distiller, Term
from limbeck.errors import RecipeError
from limbeck.losses import BinaryCrossEntropy, BinaryKD, CrossEntropy, KLDivergence, MSELogits
from limbeck.measure import multi_label_scoring, single_label_scoring
from limbeck.tasks.label_kind import check_label_kind
from limbeck.teachers import Ensemble, Frozen, RandomTeacher, TeacherFree

SOFTMAXES = {
    "cross_entropy",
    "decoupled_kd",
    "dist",
    "generalized_jsd",
    "gradient_attention",
    "kl_divergence",
    "multi_level_logits",
    "reverse_kl",
    "soft_cross_entropy",
    "total_variation",
    "weighted_soft_label",
}


def distiller(*terms: Term, teacher: Any = None) -> Distiller:
    given = {"teacher": Frozen(nn.Linear(3, 4)) if teacher is None else teacher}
    named = {f"term{number}": term for number, term in enumerate(terms)}
    reads = any("teacher.logits" in term.addresses for term in terms)
    return Distiller(nn.Linear(3, 4), named, given if reads else {})


def test_every_loss_between_softmaxes_says_so() -> None:
    found = {name: getattr(registry.lookup("loss", name), "exclusive", None) for name in registry.names("loss")}
    assert {name for name, exclusive in found.items() if exclusive} == SOFTMAXES
    assert {name for name, exclusive in found.items() if exclusive is False} == {"binary_cross_entropy"}


@pytest.mark.parametrize("loss", [KLDivergence(), CrossEntropy()])
def test_softmaxes_are_refused_where_rows_have_several_classes(loss: nn.Module) -> None:
    made = distiller(Term(BinaryCrossEntropy()), Term(loss))
    wanted = r"objective\.term1: \w+ is for rows of one class, and these may have several; take binary_cross_entropy"
    with pytest.raises(RecipeError, match=wanted):
        check_label_kind(made, multi_label_scoring())


def test_answers_of_yes_or_no_are_refused_where_rows_have_one_class() -> None:
    made = distiller(Term(BinaryCrossEntropy()))
    with pytest.raises(
        RecipeError, match=r"binary_cross_entropy is for rows of several classes, .* take cross_entropy"
    ):
        check_label_kind(made, single_label_scoring(4))


def test_what_fits_is_taken() -> None:
    check_label_kind(distiller(Term(BinaryCrossEntropy()), Term(BinaryKD()), Term(MSELogits())), multi_label_scoring())
    check_label_kind(distiller(Term(CrossEntropy()), Term(BinaryKD()), Term(KLDivergence())), single_label_scoring(4))


def test_a_softmax_over_something_else_than_classes_is_taken() -> None:
    term = Term(KLDivergence(), {"student": "student.parameters.weight", "teacher": "student.parameters.weight"})
    check_label_kind(distiller(Term(BinaryCrossEntropy()), term), multi_label_scoring())


def test_teachers_that_average_softmaxes_are_refused() -> None:
    members = {name: Frozen(nn.Linear(3, 4)) for name in ("one", "two")}
    soft = Term(BinaryKD())
    with pytest.raises(RecipeError, match=r"models\.teacher: ensemble is for rows of one class"):
        check_label_kind(distiller(soft, teacher=Ensemble(members)), multi_label_scoring())
    check_label_kind(distiller(soft, teacher=Ensemble(members, mean="logits")), multi_label_scoring())
    for outer in (Ensemble({"inner": Ensemble(members)}, mean="logits"), RandomTeacher({"inner": Ensemble(members)})):
        with pytest.raises(RecipeError, match=r"models\.teacher: ensemble is for rows of one class"):
            check_label_kind(distiller(soft, teacher=outer), multi_label_scoring())
    with pytest.raises(RecipeError, match=r"models\.teacher: teacher_free is for rows of one class"):
        check_label_kind(distiller(soft, teacher=TeacherFree(classes=4)), multi_label_scoring())
