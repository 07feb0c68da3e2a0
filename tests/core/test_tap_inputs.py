"""What a model is fed from the board, and the name of its output."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.toys import CE, FEATURES, Squared, gradients, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import AddressError, ArgumentError
from limbeck.teachers import Frozen
from refusals import refused

BATCH = make_batch(7)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(3)

    def forward(self, left, right):
        return self.net(left) - 2 * self.net(right)


def test_a_mapping_feeds_arguments():
    views = {**BATCH, "other": BATCH["inputs"] + 1}
    student = Tapped(Pair(), inputs={"left": "batch.inputs", "right": "batch.other"})
    assert student.input_addresses == ("batch.inputs", "batch.other")
    outputs = Distiller(student, {"hard": Term(CE())})(views).outputs
    torch.testing.assert_close(outputs["student"]["logits"], Pair()(views["inputs"], views["other"]))


def test_a_frozen_teacher_is_fed_arguments_too():
    teacher = Frozen(Pair(), inputs={"left": "student.normed", "right": "batch.inputs"})
    assert teacher.reads == ("student.normed", "batch.inputs")
    board = {"batch": BATCH, "student": {"normed": BATCH["inputs"] * 3}}
    expected = Pair()(BATCH["inputs"] * 3, BATCH["inputs"])
    torch.testing.assert_close(teacher(board)["logits"], expected)


@pytest.mark.parametrize("detach", [False, True])
def test_inputs_that_are_outputs_may_be_detached(detach):
    reader = nn.Linear(4, 4).double()
    students = {"student": mlp(0), "reader": Tapped(reader, inputs="student.logits", detach_inputs=detach)}
    terms = {"hard": Term(CE(), {"student": "reader.logits"})}
    distiller = Distiller(students, terms)
    distiller(BATCH).loss().backward()
    found = gradients(distiller.students["student"].model)
    model = mlp(0)
    nn.functional.cross_entropy(reader(model(BATCH["inputs"])), BATCH["target"]).backward()
    if detach:
        assert found == {}
    else:
        torch.testing.assert_close(found, gradients(model))


def test_a_single_tensor_has_the_name_that_it_is_given():
    value = Tapped(mlp(0), {"hidden": "1"}, output="value")
    assert list(value(BATCH["inputs"])) == ["value", "hidden"]
    term = Term(Squared(), main="value")
    distiller = Distiller(value, {"soft": term}, {"teacher": Frozen(Tapped(mlp(1), output="value"))})
    found = distiller(BATCH).loss()
    expected = (mlp(0)(BATCH["inputs"]) - mlp(1)(BATCH["inputs"])).square().mean()
    torch.testing.assert_close(found, expected)
    twin = copy.deepcopy(distiller)
    torch.testing.assert_close(twin(BATCH).loss(), expected)


def test_names_that_a_model_gives_itself_stay():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(0)

        def forward(self, inputs):
            return {"boxes": self.net(inputs)}

    assert list(Tapped(Named(), output="value")(BATCH["inputs"])) == ["boxes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "Value"}, r"the output name 'Value' must match"),
        ({"inputs": {}}, r"inputs name no address; give one"),
        ({"inputs": ""}, r"inputs name no address; give one"),
    ],
)
def test_what_cannot_be_right_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Tapped(mlp(0), **options)


def test_a_tap_with_the_name_of_the_output_is_refused():
    with refused(AddressError, "in_use", "value"):
        Tapped(mlp(0), {"value": "1"}, output="value")(torch.zeros(2, FEATURES, dtype=torch.float64))
