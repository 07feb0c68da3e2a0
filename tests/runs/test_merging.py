from __future__ import annotations

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.runs.merging import merge_weights


def test_the_mean_is_that_of_plain_arithmetic() -> None:
    torch.manual_seed(0)
    models = [{"a": torch.randn(3, 2), "b": torch.randn(4)} for _ in range(3)]
    merged = merge_weights(models, [1, 2, 5])
    for name in ("a", "b"):
        expected = sum(w * m[name].double() for w, m in zip((1, 2, 5), models, strict=True)) / 8
        torch.testing.assert_close(merged[name].double(), expected, rtol=1e-6, atol=1e-7)


def test_a_model_with_all_the_weight_is_the_result() -> None:
    models = [{"a": torch.rand(5)}, {"a": torch.rand(5)}]
    assert torch.equal(merge_weights(models, [0, 3])["a"], models[1]["a"])


def test_counters_are_those_of_the_first_model() -> None:
    models = [{"steps": torch.tensor(7)}, {"steps": torch.tensor(9)}]
    assert merge_weights(models, [1, 1])["steps"].item() == 7


@pytest.mark.parametrize(
    ("models", "weights"),
    [
        ([], []),
        ([{"a": torch.zeros(1)}], [1, 1]),
        ([{"a": torch.zeros(1)}], [0]),
        ([{"a": torch.zeros(1)}, {"a": torch.zeros(2)}], [1, 1]),
        ([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}], [1, 1]),
        ([{"a": torch.zeros(1)}, {"a": torch.zeros(1)}], [2, -1]),
    ],
)
def test_models_that_do_not_fit_are_refused(models: list[dict[str, torch.Tensor]], weights: list[float]) -> None:
    with pytest.raises(ArgumentError, match="merge"):
        merge_weights(models, weights)
