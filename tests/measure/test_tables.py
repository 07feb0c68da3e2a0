from __future__ import annotations

import numpy as np
import sklearn.metrics as oracle

from limbeck.measure import Confusion

RANDOM = np.random.default_rng(0)


def test_confusion_is_that_of_scikit_learn_over_all_batches() -> None:
    logits, target = RANDOM.normal(size=(100, 5)), RANDOM.integers(0, 4, 100)
    table = Confusion(5)
    parts = [table.entries({"logits": logits[rows]}, {"target": target[rows]}) for rows in (range(30), range(30, 100))]
    assert [part[0].tolist() for part in parts] == [list(range(30)), list(range(70))]
    expected = oracle.confusion_matrix(target, logits.argmax(1), labels=range(5))
    assert table.summary(np.concatenate([part[1] for part in parts])) == expected.tolist()
