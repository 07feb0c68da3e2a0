"""Hashes of fitted estimators: the same for the same content, in this process and in another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from forks import TORCH, forked
from limbeck.models import content_hash

FEATURES = np.random.default_rng(0).normal(size=(80, 3))
NUMBERS = FEATURES @ np.array([1.0, -2.0, 0.5])
CLASSES = NUMBERS > 0

FITTED: dict[str, Any] = {
    "forest": lambda seed: RandomForestRegressor(5, random_state=seed).fit(FEATURES, NUMBERS),
    "boosting": lambda seed: GradientBoostingRegressor(n_estimators=5, max_features=1, random_state=seed).fit(
        FEATURES, NUMBERS
    ),
    "histograms": lambda seed: HistGradientBoostingClassifier(max_iter=5 + seed, random_state=0).fit(FEATURES, CLASSES),
    "pipeline": lambda seed: make_pipeline(StandardScaler(), LogisticRegression(C=1.0 + seed)).fit(FEATURES, CLASSES),
    "stack": lambda seed: StackingRegressor([("a", Ridge(1.0 + seed)), ("b", SVR())]).fit(FEATURES, NUMBERS),
}


@pytest.mark.parametrize("name", FITTED)
def test_content_decides(name: str) -> None:
    first, again, other = (content_hash(FITTED[name](seed)) for seed in (0, 0, 1))
    assert first is not None
    assert first == again
    assert first != other


def test_another_process_finds_the_same() -> None:
    code = (
        "import sys; from models.test_content_hash import FITTED, content_hash\n"
        "print(*(content_hash(FITTED[name](0)) for name in FITTED))"
    )
    # In the folder of the tests, from which the process imports this module.
    (done,) = forked((code, [], {}), folder=Path(__file__).parents[1], modules=TORCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [content_hash(FITTED[name](0)) for name in FITTED]


def test_lightgbm_too() -> None:
    package = pytest.importorskip("lightgbm")
    hashes = [
        content_hash(package.LGBMRegressor(n_estimators=3 + more, verbose=-1).fit(FEATURES, NUMBERS))
        for more in (0, 0, 1)
    ]
    assert hashes[0] is not None
    assert hashes[0] == hashes[1] != hashes[2]


def test_kinds_of_values_are_told_apart() -> None:
    values = [1, 1.0, True, "1", b"1", None, [1], (1,), {1}, {1: 1}, np.int64(1), np.array([1]), np.array([1.0]), [[1]]]
    values += [torch.tensor([1]), len, np.mean, int, {"a": [1, 2]}, {"a": [1], "b": 2}, [1, 2], [12]]
    hashes = [content_hash(value) for value in values]
    assert None not in hashes
    assert len(set(hashes)) == len(values)


def test_what_cannot_be_known() -> None:
    itself: list[Any] = []
    itself.append(itself)
    for value in (lambda: 1, itself, (number for number in range(3)), FunctionTransformer(lambda rows: rows)):
        assert content_hash(value) is None


def test_bytes_between_the_fields_of_an_array_do_not_count() -> None:
    kind = np.dtype([("a", np.int8), ("b", np.int64)], align=True)
    first, other = (np.frombuffer(bytes([fill]) * kind.itemsize * 2, np.uint8).copy().view(kind) for fill in (0, 255))
    for array in (first, other):
        array["a"], array["b"] = 1, 2
    assert first.tobytes() != other.tobytes()
    assert content_hash(first) == content_hash(other)
