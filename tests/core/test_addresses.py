from __future__ import annotations

import pytest
import torch

from limbeck.core import resolve, rows_of, source_of
from limbeck.core.addresses import check_name, tensors
from limbeck.errors import AddressError, ArgumentError

BOARD = {
    "batch": {"inputs": {"attention_mask": 1, "input_ids": 2}},
    "student": {"hidden_states.3": "own key", "hidden_states": ("a", "b", "c", "d"), "logits": torch.zeros(2)},
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("batch.inputs.attention_mask", 1),
        ("batch.inputs", {"attention_mask": 1, "input_ids": 2}),
        ("student.hidden_states.3", "own key"),
        ("student.hidden_states.2", "c"),
        ("student.hidden_states", ("a", "b", "c", "d")),
    ],
)
def test_an_address_reads_keys_positions_and_dotted_keys(address, expected):
    assert resolve(BOARD, address) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("studnt.logits", r"no source 'studnt'\. Did you mean 'student'\?"),
        ("student.logit", r"nothing at 'student\.logit': 'student' has no 'logit'\. Did you mean 'logits'\?"),
        ("student.logits.x", r"'student\.logits' is a Tensor, which has no 'x'"),
        ("student.hidden_states.9", r"'student\.hidden_states' is a tuple, which has no '9'"),
        ("batch.inputs.mask", r"'batch\.inputs' has no 'mask'"),
    ],
)
def test_an_address_of_nothing_names_what_is_known(address, message):
    with pytest.raises(AddressError, match=message):
        resolve(BOARD, address)


def test_the_source_is_the_first_part():
    assert [source_of(a) for a in ("teacher.a.logits", "batch")] == ["teacher", "batch"]


@pytest.mark.parametrize("name", ["keys", "type", "items", "a", "exit_4", "x9"])
def test_names_that_an_address_can_hold(name):
    assert check_name("term", name) == name


@pytest.mark.parametrize("name", ["", "Exit", "4th", "_a", "a.b", "a-b", "a b", "é", "a\n", 3])
def test_names_that_it_cannot_hold(name):
    with pytest.raises(ArgumentError, match=r"the tap name .* must match \[a-z\]\[a-z0-9_\]\*"):
        check_name("tap", name)


def test_rows_are_those_of_the_first_tensor_with_axes():
    assert rows_of({"epoch": torch.tensor(3), "inputs": {"ids": torch.zeros(5, 2)}, "target": torch.zeros(5)}) == 5
    with pytest.raises(AddressError, match="holds no tensor"):
        rows_of({"name": "x"})


def test_tensors_are_found_in_nested_values():
    a, b, c = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    assert [t.shape[0] for t in tensors({"x": a, "y": [b, {"z": (c, None, 3)}]})] == [1, 2, 3]
