import copy
import functools
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cache.models import model
from forks import TORCH, forked
from limbeck.cache import fingerprint_model, library_versions


def test_it_is_that_of_weights_and_not_of_mode_or_gradient() -> None:
    first = model()
    expected = fingerprint_model(first)
    other = copy.deepcopy(first).eval().requires_grad_(False)
    assert fingerprint_model(other) == fingerprint_model(model()) == expected
    assert len(expected) == 64


def test_everything_that_changes_an_output_changes_it() -> None:
    changed = [model() for _ in range(3)]
    with torch.no_grad():
        changed[0][3].bias[1] += 1e-7
        changed[1][2].running_mean[0] += 1e-7
    changed[2].half()
    others = [model(nn.GELU()), model(nn.GELU(approximate="tanh")), nn.Sequential(*list(model())[:3]), *changed]
    assert len({fingerprint_model(one) for one in (model(), *others)}) == 7


def test_settings_that_no_module_prints_change_it() -> None:
    torch.manual_seed(0)
    weights = nn.TransformerEncoderLayer(8, 2, 16).state_dict()

    def told(**settings: Any) -> str:
        layer = nn.TransformerEncoderLayer(8, **{"nhead": 2, "dim_feedforward": 16, **settings})
        layer.load_state_dict(weights)
        return fingerprint_model(layer)

    changed = [told(nhead=4), told(activation="gelu"), told(activation=torch.tanh), told(norm_first=True)]
    assert len({told(), *changed}) == 5
    assert told() == told()


def test_half_precision_and_scalars_have_bytes() -> None:
    layer = nn.Linear(2, 2).bfloat16()
    layer.register_buffer("count", torch.tensor(3))
    before = fingerprint_model(layer)
    layer.count += 1
    assert fingerprint_model(layer) != before


class Wrapped(nn.Module):
    """A module that prints an object's place in memory."""

    def extra_repr(self) -> str:
        return repr(functools.partial(lambda: None)) + repr(object())


def test_a_place_in_memory_has_no_part_in_it() -> None:
    assert len({fingerprint_model(Wrapped()) for _ in range(5)}) == 1


def test_it_is_the_same_in_another_process(tmp_path: Path) -> None:
    code = (
        "from cache.models import model\n"
        "from limbeck.cache import fingerprint_model\n"
        "import os\n"
        "print(os.getpid(), fingerprint_model(model()))"
    )
    (done,) = forked((code, [], {}), folder=tmp_path, modules=TORCH)
    process, found = done.stdout.split()
    assert int(process) != os.getpid()
    assert found == fingerprint_model(model())


def test_versions_have_no_suffix() -> None:
    assert library_versions()["torch"] == torch.__version__.split("+")[0]
