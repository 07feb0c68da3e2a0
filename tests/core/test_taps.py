from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutput

from core.toys import FEATURES, mlp
from limbeck.core import Tapped
from limbeck.core.addresses import tensors
from limbeck.errors import AddressError, ArgumentError
from limbeck.teachers import Frozen
from refusals import refused

INPUTS = torch.randn(5, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.first, self.block, self.last = mlp(0)[0], nn.Sequential(nn.Linear(8, 8).double(), nn.Tanh()), mlp(0)[2]
        self.reentrant = reentrant

    def forward(self, inputs):
        return self.last(checkpoint(self.block, self.first(inputs), use_reentrant=self.reentrant))

    def plain(self, inputs):
        hidden = self.block(self.first(inputs))
        return self.last(hidden), hidden


class Choosing(nn.Module):
    """Runs its layer a given number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(FEATURES, FEATURES).double(), nn.Linear(FEATURES, 2).double()
        self.times = 1

    def forward(self, inputs):
        for _ in range(self.times):
            inputs = self.layer(inputs)
        return self.last(inputs)


def is_empty(tapped: Tapped) -> bool:
    recorder = tapped._recorder
    return not (recorder.active or recorder.values or recorder.versions)


def test_outputs_and_taps_are_what_the_modules_give():
    model = mlp(0)
    outputs = Tapped(model, {"before": "0", "after": "1", "whole": ""})(INPUTS)
    before = INPUTS @ model[0].weight.T + model[0].bias
    assert set(outputs) == {"logits", "before", "after", "whole"}
    torch.testing.assert_close(outputs["before"], before)
    torch.testing.assert_close(outputs["after"], before.tanh())
    assert outputs["whole"] is outputs["logits"]


def test_models_called_by_keyword_and_models_that_name_their_outputs():
    class Named(nn.Module):
        def forward(self, ids, mask):
            return {"logits": ids * mask, "hidden_states.1": ids}

    outputs = Tapped(Named())({"ids": torch.ones(2), "mask": torch.zeros(2)})
    assert outputs["logits"].tolist() == [0, 0]
    assert outputs["hidden_states.1"].tolist() == [1, 1]


def test_an_output_without_a_name_is_refused():
    class Pair(nn.Module):
        def forward(self, inputs):
            return inputs, inputs

    with refused(ArgumentError, "wrong_type", match="returned a tuple; return a tensor"):
        Tapped(Pair())(INPUTS)


def test_a_module_may_be_tapped_by_any_of_its_paths():
    model = Choosing()
    model.alias = model.layer
    outputs = Tapped(model, {"a": "layer", "b": "alias"})(INPUTS)
    assert outputs["a"] is outputs["b"]


def test_a_tap_may_not_hide_an_output():
    with pytest.raises(AddressError, match="has the name of one of the model's outputs"):
        Tapped(mlp(0), {"logits": "0"})(INPUTS)


@pytest.mark.parametrize(("times", "message"), [(0, "did not run in this forward"), (2, "ran twice in one forward")])
@pytest.mark.parametrize(("path", "name"), [("layer", "hidden"), ("layer:input", "hidden"), (["layer"], r"hidden\.0")])
def test_a_tap_that_does_not_run_once_is_an_error(times, message, path, name):
    model = Choosing()
    tapped = Tapped(model, {"hidden": path})
    model.times = times
    with pytest.raises(AddressError, match=rf"tap '{name}': module 'layer' {message}"):
        tapped(INPUTS)
    assert is_empty(tapped)
    model.times = 1
    assert "hidden" in tapped(INPUTS)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_tap_changed_in_place_later_is_an_error(depth):
    # At depth 1 the tapped module gives a tuple.
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, 3).double()

        def forward(self, inputs):
            return (self.layer(inputs), None)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wrapped, self.relu = Wrapped(), nn.ReLU(inplace=True)

        def forward(self, inputs):
            return self.relu(self.wrapped(inputs)[0])

    tapped = Tapped(Model(), {"hidden": ("wrapped.layer", "wrapped")[depth]})
    with refused(
        AddressError, "unsupported", "hidden", match=r"changed the output of 'wrapped.*' in place; set inplace=False"
    ):
        tapped(INPUTS)
    assert "hidden" in Tapped(Model(), {"hidden": "relu"})(INPUTS)


def test_an_input_that_its_module_changes_in_place_is_an_error():
    model = nn.Sequential(mlp(0)[0], nn.ReLU(inplace=True))
    with refused(AddressError, "unsupported", "before"):
        Tapped(model, {"before": "1:input"})(INPUTS)


def test_an_input_is_the_first_tensor_by_position_before_keyword():
    class Inner(nn.Module):
        def forward(self, scale, first=None, second=None):
            return scale * second if first is None else first

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by_position, self.by_keyword, self.without = Inner(), Inner(), nn.Identity()

        def forward(self, inputs):
            first, third = self.by_position(2, inputs, second=inputs + 1), self.without(3.0)
            return self.by_keyword(scale=third, second=first + 1)

    outputs = Tapped(Outer(), {"one": "by_position:input", "two": "by_keyword:input"})(INPUTS)
    torch.testing.assert_close((outputs["one"], outputs["two"]), (INPUTS, INPUTS + 1))
    torch.testing.assert_close(outputs["logits"], 3 * (INPUTS + 1))
    with pytest.raises(AddressError, match="tap 'three': module 'without' was called without a tensor; tap its output"):
        Tapped(Outer(), {"three": "without:input"})(INPUTS)


def test_several_modules_in_one_tap_are_a_tuple_in_their_order():
    model = mlp(0)
    outputs = Tapped(model, {"two": ["1", "0"], "one": ["2"]})(INPUTS)
    before = INPUTS @ model[0].weight.T + model[0].bias
    assert isinstance(outputs["two"], tuple)
    torch.testing.assert_close(outputs["two"], (before.tanh(), before))
    torch.testing.assert_close(outputs["one"], (outputs["logits"],))


class Asked(nn.Module):
    def forward(self, inputs, scale=1.0):
        return inputs * scale


def test_keyword_arguments_of_every_call():
    for inputs in (INPUTS, {"inputs": INPUTS, "scale": 5.0}):
        torch.testing.assert_close(Tapped(Asked(), call={"scale": 2.0})(inputs)["logits"], 2 * INPUTS)
    frozen = Frozen(Asked(), call={"scale": 3.0})
    torch.testing.assert_close(frozen({"batch": {"inputs": INPUTS}})["logits"], 3 * INPUTS)
    with pytest.raises(ArgumentError, match=r"call: Asked takes no 'scales'\. Did you mean 'scale'\?"):
        Tapped(Asked(), call={"scales": 2.0})


@pytest.mark.parametrize(("path", "slope"), [("inner", 1.0), ("inner:input", 2.0)])
def test_an_output_with_names_keeps_its_type_where_a_tap_gives_it_a_graph(path, slope):
    class Inner(nn.Module):
        def forward(self, inputs):
            return BaseModelOutput(last_hidden_state=2 * inputs)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, inputs):
            return self.inner(inputs).last_hidden_state + 1

    outputs = Frozen(Outer(), {"own": path}, differentiable=True)({"batch": {"inputs": INPUTS}})
    torch.testing.assert_close(outputs["logits"], 2 * INPUTS + 1)
    (gradient,) = torch.autograd.grad(outputs["logits"].sum(), list(tensors(outputs["own"])))
    torch.testing.assert_close(gradient, torch.full_like(INPUTS, slope))


def test_taps_on_a_model_that_was_compiled_and_run_before_say_so():
    torch.compiler.reset()
    model = torch.compile(mlp(0), backend="aot_eager")
    model(INPUTS)
    with pytest.raises(ArgumentError, match=r"no module '1'\. The model has '_orig_mod'"):
        Tapped(model, {"hidden": "1"})
    tapped = Tapped(model, {"hidden": "_orig_mod.1"})
    with pytest.raises(AddressError, match=r"'_orig_mod\.1' did not run in this forward"):
        tapped(INPUTS)


def test_nothing_is_kept_after_a_forward_or_an_exception():
    class Failing(nn.Module):
        def forward(self, inputs):
            raise RuntimeError("no")

    model = nn.Sequential(mlp(0)[0], nn.Tanh(), Failing())
    tapped = Tapped(model, {"hidden": "0"})
    with pytest.raises(RuntimeError, match="no"):
        tapped(INPUTS)
    assert is_empty(tapped)
    model[2] = nn.Identity()
    assert "hidden" in tapped(INPUTS)
    assert is_empty(tapped)


def test_hooks_write_only_while_their_own_forward_runs():
    model = mlp(0)
    tapped = Tapped(model, {"hidden": "1"})
    model(INPUTS)
    assert is_empty(tapped)
    other = Tapped(model, {"hidden": "0", "other": "1"})
    one, two = tapped(INPUTS), other(INPUTS)
    assert set(one) == {"logits", "hidden"}
    assert set(two) == {"logits", "hidden", "other"}
    torch.testing.assert_close(one["hidden"], two["other"])
    assert not torch.equal(one["hidden"], two["hidden"])
    assert is_empty(tapped)
    assert is_empty(other)


def test_the_input_of_a_module_that_checkpointing_runs_again_is_written_once():
    tapped = Tapped(Checkpointed(reentrant=False), {"into": "block.1:input", "out": "block.0"})
    outputs = tapped(INPUTS)
    assert outputs["into"] is outputs["out"]
    outputs["logits"].sum().backward()
    assert is_empty(tapped)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_a_duplicate_of_a_used_model_is_independent(duplicate):
    tapped = Tapped(mlp(0), {"hidden": "1"})
    tapped(INPUTS)["hidden"].sum().backward()
    twin = duplicate(tapped)
    with torch.no_grad():
        twin.model[0].weight.mul_(0)
        twin.model[0].bias.fill_(1.0)
    expected = INPUTS @ tapped.model[0].weight.T + tapped.model[0].bias
    for _ in range(2):
        torch.testing.assert_close(twin(INPUTS)["hidden"], torch.full_like(expected, 1.0).tanh())
        assert is_empty(tapped)
        torch.testing.assert_close(tapped(INPUTS)["hidden"], expected.tanh())
        assert is_empty(twin)
    # The original writes nothing into the copy while it runs, and the other way round.
    tapped._recorder.active = True
    twin.model(INPUTS)
    assert tapped._recorder.values == {}
    assert twin._recorder is not tapped._recorder


def test_gradients_of_a_tap_through_checkpointing():
    torch.manual_seed(0)
    model = Checkpointed(reentrant=False)
    outputs = Tapped(model, {"hidden": "block"})(INPUTS)
    loss = outputs["hidden"].square().sum() + outputs["logits"].sum()
    found = torch.autograd.grad(loss, list(model.parameters()))
    logits, hidden = model.plain(INPUTS)
    expected = torch.autograd.grad(hidden.square().sum() + logits.sum(), list(model.parameters()))
    torch.testing.assert_close(found, expected)


def test_a_tap_inside_a_checkpointed_block():
    torch.manual_seed(0)
    model = Checkpointed(reentrant=False)
    tapped = Tapped(model, {"hidden": "block.0"})
    found = torch.autograd.grad(tapped(INPUTS)["hidden"].square().sum(), list(model.first.parameters()))
    assert is_empty(tapped)
    expected = torch.autograd.grad(model.block[0](model.first(INPUTS)).square().sum(), list(model.first.parameters()))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("path", ["block.0", "block.1", "block.1:input"])
def test_reentrant_checkpointing_is_an_error_that_names_it(path):
    tapped = Tapped(Checkpointed(reentrant=True), {"hidden": path})
    with refused(AddressError, "unsupported", "hidden", match="reentrant activation checkpointing"):
        tapped(INPUTS.clone().requires_grad_())
    assert is_empty(tapped)


def test_the_input_of_a_block_is_right_under_reentrant_checkpointing_too():
    torch.manual_seed(0)
    model = Checkpointed(reentrant=True)
    for path in ("block:input", "block.0:input"):
        found = torch.autograd.grad(Tapped(model, {"own": path})(INPUTS)["own"].square().sum(), model.first.weight)
        expected = torch.autograd.grad(model.first(INPUTS).square().sum(), model.first.weight)
        torch.testing.assert_close(found, expected)


def test_a_frozen_part_of_a_student_may_be_tapped():
    model = mlp(0)
    model[0].requires_grad_(False)
    assert not Tapped(model, {"hidden": "0"})(INPUTS)["hidden"].requires_grad


def test_inference_mode():
    with torch.inference_mode():
        assert set(Tapped(mlp(0), {"hidden": "0"})(INPUTS)) == {"logits", "hidden"}


def test_compiled_taps_equal_eager_ones():
    tapped = Tapped(mlp(0), {"hidden": "1"})

    def run(module):
        outputs = module(INPUTS)
        loss = outputs["hidden"].square().sum() + outputs["logits"].sum()
        return dict(outputs), torch.autograd.grad(loss, list(tapped.parameters()))

    expected = run(tapped)
    found = run(torch.compile(tapped, fullgraph=True, backend="aot_eager"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert is_empty(tapped)
