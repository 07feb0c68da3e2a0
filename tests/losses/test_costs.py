"""The cost in every docstring, against what is counted while one, two or all dimensions double."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from torch import nn

import limbeck.losses
from limbeck import registry
from limbeck.core.binding import arguments
from limbeck.losses._blocks import block_limit
from limbeck.recipes.docstrings import read_docstring
from losses.costs import Sizes, drawn, growths, measured, orders, shapes, value

# Where the docstring of a function does not say it: the axes of an argument.
AXES: dict[str, dict[str, str]] = {
    "value_relation": {"student_value": "B T Hd", "teacher_value": "B T Hd"},
    "weight_match": {"student": "N", "teacher": "N"},
}
# Options that have no default.
REQUIRED: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    "attention_scores": lambda sizes: {"student_heads": sizes["H"], "teacher_heads": sizes["H"]},
    "value_relation": lambda sizes: {"relation_heads": sizes["H"]},
    "pinball": lambda sizes: {"quantiles": [(q + 1) / (sizes["Q"] + 1) for q in range(sizes["Q"])]},
}
# The same for modules whose arguments are not those of the function; others have S channels in place of the teacher's.
MODULE_AXES: dict[str, dict[str, str]] = {
    "crd": {"student": "B S", "teacher": "B C", "row": "B"},
    "review_kd": {"student_1": "B S H W", "teacher_1": "B C H W"},
}
OPTIONS: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    "crd": lambda sizes: {"rows": sizes["K"], "features": sizes["D"]},
    "factor_transfer": lambda sizes: {"paraphraser_steps": 0},
    "pinball": REQUIRED["pinball"],
}
LOSSES = [name for name in limbeck.functional.__all__ if name in registry.names("loss")]


COUNTED = [*LOSSES, "linear_cka"]


@pytest.fixture(autouse=True)
def smallest_blocks() -> Iterator[None]:
    """Blocks of one row, as for a large batch."""
    with block_limit(1):
        yield


def stated(entry: object) -> dict[str, str]:
    return orders(read_docstring(entry).sections.get("Cost", ""))


def wrong(costs: Mapping[str, str], count: Callable[[Sizes], tuple[int, int]], symbols: Iterable[str]) -> list[str]:
    """What grows otherwise than these orders say."""
    lines = []
    for before, after in growths(sorted(set(symbols))):
        for of, first, second in zip(("operations", "memory"), count(before), count(after), strict=True):
            expected = math.log2(value(costs[of], after) / value(costs[of], before))
            actual = math.log2(second / first)
            if abs(actual - expected) > 0.35:
                lines.append(f"{of} grow 2^{actual:.2f} from {before} to {after}, by O({costs[of]}) 2^{expected:.2f}")
    return lines


def of_function(name: str, costs: Mapping[str, str]) -> list[str]:
    function = getattr(limbeck.functional, name)
    described = read_docstring(function).arguments["Args"]
    options = REQUIRED.get(name, lambda sizes: {})
    axes = shapes(function, AXES.get(name, {}), options(defaultdict(int)))

    def count(sizes: Sizes) -> tuple[int, int]:
        values = {argument: drawn(argument, described[argument], axes[argument], sizes) for argument in axes}
        return measured(partial(function, **values, **options(sizes)))

    return wrong(costs, count, [symbol for of_one in axes.values() for axis in of_one for symbol in axis])


@pytest.mark.parametrize("name", COUNTED)
def test_costs_are_those_counted(name: str) -> None:
    costs = stated(getattr(limbeck.functional, name))
    assert costs.keys() == {"operations", "memory"}
    assert not of_function(name, costs)


@pytest.mark.parametrize(
    ("name", "of", "order"),
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
def test_a_wrong_order_is_detected(name: str, of: str, order: str) -> None:
    lines = of_function(name, {**stated(getattr(limbeck.functional, name)), of: order})
    assert lines
    assert all(line.startswith(of) for line in lines)


def of_module(name: str, costs: Mapping[str, str]) -> list[str]:
    entry: type[nn.Module] = registry.lookup("loss", name)
    axes = module_axes(name, entry)

    def count(sizes: Sizes) -> tuple[int, int]:
        # Never as many as the teacher's: then some modules do without a projection.
        sizes = {**sizes, "S": sizes["S"] + 1}
        kinds = read_docstring(entry).arguments.get("Inputs", {})
        values = {argument: drawn(argument, kinds.get(argument, ""), axes[argument], sizes) for argument in axes}
        loss = entry(**OPTIONS.get(name, lambda sizes: {})(sizes))
        loss.prepare([values])
        return measured(partial(loss, **values))

    symbols = [symbol for symbols in axes.values() for symbol in symbols]
    return wrong(costs, count, [*symbols, *(["D", "K"] if name == "crd" else [])])


def module_axes(name: str, entry: type[nn.Module]) -> dict[str, list[str]]:
    if name in MODULE_AXES:
        return {argument: axes.split() for argument, axes in MODULE_AXES[name].items()}
    axes = shapes(getattr(limbeck.functional, name), {})
    taken = {argument: list(axes[argument]) for argument in arguments(entry)}
    for argument, symbols in taken.items():
        if argument.startswith("student"):
            symbols[1 if len(symbols) == 4 else -1] = "S"
    return taken


@pytest.mark.parametrize("name", [name for name in LOSSES if stated(registry.lookup("loss", name))])
def test_costs_that_modules_add_are_those_counted(name: str) -> None:
    function, module = stated(getattr(limbeck.functional, name)), stated(registry.lookup("loss", name))
    assert not of_module(name, {of: f"{function[of]} + {module[of]}" for of in function})


def test_a_missing_projection_is_detected() -> None:
    assert of_module("hint_mse", stated(limbeck.functional.hint_mse))
