"""Against the loader of scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from limbeck.data import BreastCancer


def test_rows_are_those_of_scikit_learn() -> None:
    theirs = load_breast_cancer()
    data = BreastCancer().load()["train"]
    np.testing.assert_array_equal(data.numeric.numpy(), theirs.data.astype(np.float32))
    assert data.target.tolist() == theirs.target.tolist()
    assert data.classes == tuple(theirs.target_names)
    words = [{*name.replace("error of", "error").split()} for name in (column.name for column in data.columns)]
    assert words == [set(name.split()) for name in theirs.feature_names]
