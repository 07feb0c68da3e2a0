"""A model cut in two is the model."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core import Tapped
from limbeck.errors import ArgumentError
from limbeck.models import MobileNet, Normalized, ResNet
from limbeck.models._cut import rest, trunk

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network() -> Normalized:
    torch.manual_seed(0)
    return Normalized(ResNet(channels=1, classes=5, size=(8, 8), width=4), [0.4], [0.3])


@pytest.mark.parametrize("path", ["net.stem", "net.stage1", "net.stage2.0", "net.stage3", "net.head", "net.stem.1"])
@pytest.mark.parametrize("mode", [True, False])
def test_the_two_parts_make_the_whole(path, mode):
    model = network().train(mode)
    first, second = trunk(model, path), rest(model, path)
    torch.testing.assert_close(second(first(IMAGES)), copy.deepcopy(model)(IMAGES), rtol=0, atol=0)
    assert first.training == second.training == mode


def test_the_first_part_gives_what_a_tap_sees():
    model = network().eval()
    expected = Tapped(model, {"map": "net.stage2"})(IMAGES)["map"]
    torch.testing.assert_close(trunk(model, "net.stage2")(IMAGES), expected, rtol=0, atol=0)


def test_every_weight_is_in_one_part_under_its_own_name():
    model = network()
    first, second = trunk(model, "net.stage2").state_dict(), rest(model, "net.stage2").state_dict()
    assert not first.keys() & second.keys()
    torch.testing.assert_close({**first, **second}, dict(model.state_dict()), rtol=0, atol=0)
    assert {"mean", "net.stage2.0.bn2.running_mean"} <= first.keys()


def test_parts_are_copies():
    model = network()
    before = copy.deepcopy(model.state_dict())
    part = trunk(model, "net.stage2")
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.zero_()
    part.train()(IMAGES)
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


def test_modules_keep_their_modes():
    model = network().train()
    model.net.stage1.eval()
    part = trunk(model, "net.stage2")
    assert not part.get_submodule("net.stage1.0.bn1").training
    assert part.get_submodule("net.stage2.0.bn1").training
    assert model.net.stage2.training


def test_another_architecture():
    model = MobileNet(channels=1, classes=5, size=(8, 8)).eval()
    path = [name for name, _ in model.named_children()][1]
    torch.testing.assert_close(rest(model, path)(trunk(model, path)(IMAGES)), model(IMAGES), rtol=0, atol=0)


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        one = self.one(inputs)
        return self.head(self.two(one) + one)


class Choosing(Skipping):
    def forward(self, inputs):
        return self.head(self.one(inputs) if inputs.sum() > 0 else self.two(inputs))


class Repeating(Skipping):
    def forward(self, inputs):
        return self.head(self.one(self.one(inputs)))


class Optional(Skipping):
    def forward(self, inputs, double=False, **call):
        return self.head(self.one(inputs) * (2 if double else 1), **call)


def test_optional_arguments_keep_their_defaults():
    model, inputs = Optional(), torch.rand(2, 6)
    torch.testing.assert_close(rest(model, "one")(trunk(model, "one")(inputs)), model(inputs))


class Dropping(Skipping):
    def forward(self, inputs):
        return self.head(F.dropout(self.one(inputs), training=self.training))


def test_functions_of_the_mode_are_those_of_eval_mode():
    model = Dropping().train()
    inputs = torch.rand(2, 6)
    torch.testing.assert_close(rest(model, "one")(model.one(inputs)), model.eval()(inputs))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda: trunk(network(), "net.stage"), "the model has no module 'net.stage'. Did you mean 'net.stage"),
        (lambda: trunk(network(), ""), "the model has no module ''"),
        (lambda: rest(Skipping(), "two"), "the layers after 'two' also read what comes before it"),
        (lambda: trunk(Choosing(), "one"), "Choosing cannot be cut at 'one': its forward depends on values"),
        (lambda: trunk(Repeating(), "one"), "Repeating cannot be cut at 'one': it runs 2 times"),
        (lambda: trunk(Repeating(), "two"), "it runs 0 times"),
        (
            lambda: trunk(nn.Sequential(nn.TransformerEncoderLayer(4, 1)), "0.linear1"),
            "cannot be cut at '0.linear1': it runs 0 times as a step of its own; .* outside the modules of torch",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(cut, message):
    with pytest.raises(ArgumentError, match=message):
        cut()


def test_a_skip_before_the_cut_is_no_hindrance():
    model, inputs = Skipping(), torch.rand(2, 6)
    torch.testing.assert_close(rest(model, "one")(trunk(model, "one")(inputs)), model(inputs))
