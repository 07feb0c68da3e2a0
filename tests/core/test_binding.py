from __future__ import annotations

import pytest
from torch import nn

from limbeck.core.binding import arguments, bind, default_address
from limbeck.errors import ArgumentError


class Pairs(nn.Module):
    relational = True

    def forward(self, student, teacher, row, mask=None, label=None, *rest, **more): ...


@pytest.mark.parametrize("loss", [Pairs, Pairs()], ids=["class", "object"])
def test_arguments_are_those_that_read_the_board(loss):
    assert list(arguments(loss)) == ["student", "teacher", "row", "label"]


def test_a_mask_of_a_loss_that_is_not_relational_reads_like_any_other():
    class Rows(nn.Module):
        def forward(self, student, mask): ...

    assert bind(Rows(), {"mask": "batch.mask"}) == {"student": "student.logits", "mask": "batch.mask"}
    with pytest.raises(ArgumentError, match="the argument 'mask' of Rows has no default address"):
        bind(Rows(), {})


def test_every_argument_with_an_address_is_bound():
    bound = bind(Pairs(), {"teacher": "teacher.hint"})
    assert bound == {"student": "student.logits", "teacher": "teacher.hint", "row": "batch.row"}
    assert default_address("label") is None


def test_the_main_output_of_a_task_is_what_models_give_by_default():
    assert bind(Pairs(), {}, main="value") == {
        "student": "student.value",
        "teacher": "teacher.value",
        "row": "batch.row",
    }
    assert bind(Pairs(), {"student": "student.exit"}, main="value")["student"] == "student.exit"
    assert default_address("student_logits", main="value") == "student.logits"
    assert default_address("target", main="value") == "batch.target"
