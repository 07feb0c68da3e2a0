import math

import pytest
import torch

from limbeck.functional import similarity_preserving


def test_one_similarity_of_two_rows() -> None:
    same, apart = torch.ones(2, 3, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    root = math.sqrt(0.5)
    expected = (2 * (1 - root) ** 2 + 2 * root**2) / 4
    assert similarity_preserving(same, apart).item() == pytest.approx(expected, rel=1e-14)
