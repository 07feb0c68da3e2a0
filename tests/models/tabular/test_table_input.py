from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.tabular.table_input import TableInput


def test_it_encodes_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    numbers, codes = rng.normal(5, 3, (40, 2)), rng.integers(1, 4, (40, 2))
    scaler = StandardScaler().fit(numbers)
    encoder = OneHotEncoder(categories=[[1, 2, 3]] * 2, sparse_output=False).fit(codes)
    model = TableInput(nn.Identity(), mean=scaler.mean_.tolist(), std=scaler.scale_.tolist(), codes=[4, 4])
    rows = torch.tensor(np.concatenate([numbers, codes], 1), dtype=torch.float32)
    expected = np.concatenate([scaler.transform(numbers), encoder.transform(codes)], 1)
    np.testing.assert_allclose(model(rows).numpy(), expected, atol=1e-5)
    assert expected.shape[1] == TableInput.encoded_size(2, [4, 4])


def test_missing_values_are_the_mean_and_no_category() -> None:
    model = TableInput(nn.Identity(), mean=[7.0], std=[2.0], codes=[3])
    assert model(torch.tensor([[torch.nan, 0.0], [7.0, 1.0]])).tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("mean", "std", "codes"), [([0.0], [], []), ([0.0], [0.0], []), ([], [], [0])])
def test_what_does_not_fit_is_refused(mean: list[float], std: list[float], codes: list[int]) -> None:
    with pytest.raises(ArgumentError, match="TableInput"):
        TableInput(nn.Identity(), mean=mean, std=std, codes=codes)
