"""Against the loader of scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes

from limbeck.data import ClassLabels, Diabetes, FloatLabels, FloatTarget, TableSet, sources_for


def test_rows_are_those_of_scikit_learn() -> None:
    theirs = load_diabetes(scaled=False)
    data = Diabetes().load()["train"]
    np.testing.assert_array_equal(data.numeric.numpy(), np.delete(theirs.data, 1, axis=1).astype(np.float32))
    np.testing.assert_array_equal(data.categorical.numpy()[:, 0], theirs.data[:, 1])
    np.testing.assert_array_equal(data.target.numpy(), theirs.target.astype(np.float32))
    assert [column.name for column in data.columns][:4] == theirs.feature_names[:4]
    assert data.targets == (FloatTarget("progression", "points"),)
    assert "diabetes" in sources_for(TableSet)
    assert FloatLabels.adapt({"train": data}, "diabetes")["train"] is data
    # The targets happen to be whole numbers, which are classes.
    assert len(ClassLabels.adapt({"train": data}, "diabetes")["train"].classes) == 214
