"""Pairs of layers where the right ones are known."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import limbeck.models  # noqa: F401  # registers the models
from layers.nets import IMAGES, keeping, library, residual
from limbeck.layers.match import Pair, features, pairs, similarity
from limbeck.layers.trace import Layer, stages, trace


def proposed(first: nn.Module, second: nn.Module, *, trusted: bool) -> list[Pair]:
    one, other = (stages(trace(model, IMAGES[:2]).trunk) for model in (first, second))
    given, sought = features(first, one, IMAGES), features(second, other, IMAGES)
    return pairs(one, other, lambda a, b: similarity(given[a.path], sought[b.path]), trusted=trusted)


def names(found: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.first.path, pair.second.path) for pair in found]


SAME: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: library("resnet", width=4, depth=2),
    "mobilenet": lambda: library("mobilenet"),
    "mlp": lambda: library("mlp", width=12, depth=4),
    "residual": lambda: residual(6),
}


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("name", SAME)
def test_a_model_with_itself_is_the_identity(name: str, trusted: bool) -> None:
    model = SAME[name]()
    found = proposed(model, copy.deepcopy(model), trusted=trusted)
    assert len(found) > 2
    assert all(pair.first == pair.second and pair.similarity == 1.0 for pair in found)


@pytest.mark.parametrize("trusted", [True, False])
def test_every_second_block_dropped(trusted: bool) -> None:
    teacher = residual(8)
    found = proposed(keeping(teacher, range(1, 8, 2)), teacher, trusted=trusted)
    assert names(found) == [
        ("stem", "stem"), ("blocks.0", "blocks.1"), ("blocks.1", "blocks.3"), ("blocks.2", "blocks.5"),
        ("blocks", "blocks"),
    ]  # fmt: skip
    turned = proposed(teacher, keeping(teacher, range(1, 8, 2)), trusted=trusted)
    assert names(turned) == [(second, first) for first, second in names(found)]


def test_every_second_block_of_each_stage_dropped() -> None:
    teacher, student = library("resnet", width=4, depth=4), library("resnet", width=4, depth=2)
    state = teacher.state_dict()
    for name, value in student.state_dict().items():
        value.copy_(state[re.sub(r"^(stage\d)\.1\.", r"\1.2.", name)])
    for trusted in (True, False):
        assert names(proposed(student, teacher, trusted=trusted)) == [(f"stage{i}", f"stage{i}") for i in (1, 2, 3)]


def test_similarity_finds_what_depth_cannot_know() -> None:
    # The teacher's second half comes after all that the student has learned.
    teacher, student = (library("mlp", width=32, depth=depth) for depth in (6, 3))
    state = teacher.state_dict()
    for name, value in student.state_dict().items():
        value.copy_(state[name])
    first_half = [("layers.0", "layers.0"), ("layers.1", "layers.1"), ("layers", "layers.2")]
    found = proposed(student, teacher, trusted=True)
    assert names(found) == first_half
    assert {pair.similarity for pair in found} == {1.0}
    assert names(proposed(student, teacher, trusted=False)) != first_half


@pytest.mark.parametrize("trusted", [True, False])
def test_permuted_channels_do_not_matter(trusted: bool) -> None:
    model, generator = library("mlp", width=12, depth=4), torch.Generator().manual_seed(0)
    permuted = copy.deepcopy(model)
    linear = [module for module in permuted.modules() if isinstance(module, nn.Linear)]
    for before, after in itertools.pairwise(linear):
        order = torch.randperm(12, generator=generator)
        with torch.no_grad():
            before.weight.copy_(before.weight[order])
            before.bias.copy_(before.bias[order])
            after.weight.copy_(after.weight[:, order])
    torch.testing.assert_close(permuted.eval()(IMAGES), model.eval()(IMAGES))
    found = proposed(model, permuted, trusted=trusted)
    assert names(found) == names(proposed(model, model, trusted=trusted))
    assert {pair.similarity for pair in found} == {1.0}


def drawn(generator: np.random.Generator, count: int) -> list[Layer]:
    sizes = [(8, 8), (4, 4), (4, 4), ()]
    shapes = [(int(generator.integers(1, 9)), *sizes[generator.integers(len(sizes))]) for _ in range(count)]
    return [
        Layer(f"{number}", shape, depth)
        for number, (shape, depth) in enumerate(zip(shapes, sorted(generator.random(count)), strict=True))
    ]


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_no_other_way_to_pair_them_is_worth_more(seed: int, trusted: bool) -> None:
    generator = np.random.default_rng(seed)
    first, second = drawn(generator, 4), drawn(generator, int(generator.integers(2, 6)))
    table = generator.random((4, 6)).round(2)
    found = pairs(first, second, lambda a, b: float(table[int(a.path), int(b.path)]), trusted=trusted)
    sizes = {layer.size for layer in first} & {layer.size for layer in second}

    def value(chosen: list[tuple[Layer, Layer]]) -> float:
        alike = sum(table[int(a.path), int(b.path)] for a, b in chosen) if trusted else 0.0
        near = sum(1 - abs(a.depth - b.depth) for a, b in chosen)
        same = sum(a.size == b.size for a, b in chosen)
        return float(same + (alike + near / 4 if trusted else near))

    one, other = ([layer for layer in side if not sizes or layer.size in sizes] for side in (first, second))
    count = min(len(one), len(other))
    ways = [
        list(zip(a, b, strict=True))
        for a in itertools.combinations(one, count)
        for b in itertools.combinations(other, count)
    ]
    best = max(value(way) for way in ways)
    kept = [way for way in ways if value(way) == pytest.approx(best)]
    expected = [[(a, b) for a, b in way if not sizes or a.size == b.size] for way in kept]
    assert [(pair.first, pair.second) for pair in found] in expected
    for before, after in itertools.pairwise(found):
        assert before.first.depth < after.first.depth
        assert before.second.depth < after.second.depth


def test_layers_of_another_size_are_left_out_where_some_fit() -> None:
    def layer(path: str, size: int, depth: float) -> Layer:
        return Layer(path, (3, size, size), depth)

    first = [layer("a", 32, 0.2), layer("b", 16, 0.5), layer("c", 8, 0.9)]
    second = [layer("x", 16, 0.1), layer("y", 8, 0.5), layer("z", 4, 0.9)]
    assert names(pairs(first, second, lambda a, b: 0.0, trusted=False)) == [("b", "x"), ("c", "y")]
    assert names(pairs(first[:1], second, lambda a, b: 0.0, trusted=False)) == [("a", "x")]
    assert pairs([], second, lambda a, b: 0.0, trusted=False) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [((5, 3, 8, 8), (5, 4, 8, 8)), ((5, 3, 6, 4), (5, 4, 3, 2)), ((5, 7, 3), (5, 7, 4)), ((5, 7, 3), (5, 4, 2, 2))],
    ids=str,
)
def test_similarity_is_that_of_rows_at_the_same_positions(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=generator) for shape in (first, second))

    def rows(values: torch.Tensor, other: torch.Tensor) -> np.ndarray:
        found = values.double().numpy()
        if values.ndim == other.ndim == 4:
            while found.shape[2] > other.shape[2]:
                found = (found[:, :, ::2] + found[:, :, 1::2]) / 2
                found = (found[..., ::2] + found[..., 1::2]) / 2
            return found.transpose(0, 2, 3, 1).reshape(-1, found.shape[1])
        if values.shape[:2] == other.shape[:2]:
            return found.reshape(-1, found.shape[2])
        return found.mean((2, 3)) if values.ndim == 4 else found.mean(1)

    a, b = (one - one.mean(0) for one in (rows(x, y), rows(y, x)))
    expected = np.sum((b.T @ a) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert similarity(x, y) == pytest.approx(expected, abs=0.0051)


def test_the_reason_names_size_channels_depth_and_similarity() -> None:
    pair = Pair(Layer("a", (16, 8, 8), 0.25), Layer("b", (64, 8, 8), 0.5), 0.875)
    assert pair.reason == "same size 8×8, channels 16 and 64, depth 0.25 and 0.50, CKA 0.88"
    other = Pair(Layer("a", (7, 32), 0.25), Layer("b", (64,), 0.5), 0.5)
    assert other.reason == "sizes 7 and vector, channels 32 and 64, depth 0.25 and 0.50, CKA 0.50"
