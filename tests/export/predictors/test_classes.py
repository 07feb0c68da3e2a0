from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from limbeck.export.predictors.classes import above_half, most_likely, sigmoid, softmax

LOGITS = np.random.default_rng(0).normal(scale=30, size=(40, 4)).astype(np.float32)
NAMES = ("a", "b", "c", "d")


def test_probabilities_agree_with_scipy() -> None:
    exact = LOGITS.astype(np.float64)
    np.testing.assert_allclose(softmax(LOGITS), scipy_softmax(exact, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(sigmoid(LOGITS), expit(exact), rtol=1e-9, atol=1e-15)
    assert softmax(np.array([1e4, -1e4])).tolist() == [1.0, 0.0]


def test_one_class_is_the_likeliest() -> None:
    for row, prediction in zip(LOGITS, most_likely(LOGITS, NAMES), strict=True):
        assert prediction.found["class"] == NAMES[int(row.argmax())]
        assert list(prediction.found["probabilities"]) == list(NAMES)
        assert prediction.line.startswith(prediction.found["class"])


def test_any_number_of_classes_is_every_positive_logit_the_likeliest_first() -> None:
    for row, prediction in zip(LOGITS, above_half(LOGITS, NAMES), strict=True):
        order = np.argsort(-row, kind="stable")
        # Of probabilities that are both 1 in float64, the first by name comes first.
        assert set(prediction.found["classes"]) == {NAMES[index] for index in order if row[index] > 0}
        found = [prediction.found["probabilities"][name] for name in prediction.found["classes"]]
        assert found == sorted(found, reverse=True)
