"""The cost in every docstring, against what is counted while one, two or all dimensions double."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import limbeck.functional
from functional.costs import arguments, growths, measured, orders, shapes, value
from limbeck.functional import _pairs
from limbeck.recipes.docstrings import read_docstring

# Where the docstring alone does not say it: the axes of an argument, and options that have no default.
GIVEN: dict[str, dict[str, str]] = {"weight_match": {"student": "N", "teacher": "N"}}
LOSSES = [name for name in limbeck.functional.__all__ if name != "inverse_frequency"]


@pytest.fixture(autouse=True)
def smallest_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed in blocks holds one row at a time, as with a batch that is large enough."""
    monkeypatch.setattr(_pairs, "_block_elements", 1)


def wrong_orders(function: Callable[..., Any], stated: dict[str, str], given: dict[str, str]) -> list[str]:
    """What grows otherwise than stated."""
    symbols = sorted({symbol for axes in shapes(function, given).values() for symbol in axes})
    found = []
    for before, after in growths(symbols):
        counted = [dict(zip(("operations", "memory"), count(function, given, s), strict=True)) for s in (before, after)]
        for of, expression in stated.items():
            expected = math.log2(value(expression, after) / value(expression, before))
            actual = math.log2(counted[1][of] / counted[0][of])
            if abs(actual - expected) > 0.35:
                found.append(f"{of} grow 2^{actual:.2f} from {before} to {after}, by O({expression}) 2^{expected:.2f}")
    return found


def count(function: Callable[..., Any], given: dict[str, str], sizes: Any) -> tuple[int, int]:
    torch.manual_seed(0)
    values = arguments(function, given, sizes)

    def call() -> Tensor:
        result: Tensor = function(**values)
        return result

    return measured(call)


@pytest.mark.parametrize("name", LOSSES)
def test_costs_are_those_that_are_counted(name: str) -> None:
    function = getattr(limbeck.functional, name)
    stated = orders(read_docstring(function).sections["Cost"])
    assert stated.keys() == {"operations", "memory"}
    assert not wrong_orders(function, stated, GIVEN.get(name, {}))


@pytest.mark.parametrize(
    ("name", "of", "wrong"),
    [
        ("kl_divergence", "operations", "B C²"),
        ("kl_divergence", "memory", "B"),
        ("rkd_distance", "operations", "B² + B D"),
        ("rkd_distance", "memory", "B² D"),
        ("rkd_angle", "memory", "B³"),
        ("crd", "memory", "B K"),
        ("multi_level_logits", "memory", "B C + B² + C²"),
        ("nst_mmd", "operations", "B C² H W"),
    ],
)
def test_another_order_is_found_out(name: str, of: str, wrong: str) -> None:
    function = getattr(limbeck.functional, name)
    stated = {**orders(read_docstring(function).sections["Cost"]), of: wrong}
    assert all(found.startswith(of) for found in wrong_orders(function, stated, GIVEN.get(name, {})))
    assert wrong_orders(function, stated, GIVEN.get(name, {}))
