from __future__ import annotations

import numpy as np
import scipy.special

from limbeck.measure.activations import log_softmax, sigmoid, softplus

LOGITS = np.random.default_rng(0).normal(size=(50, 9)) * 1e3


def test_agree_with_scipy_at_huge_logits() -> None:
    np.testing.assert_allclose(log_softmax(LOGITS), scipy.special.log_softmax(LOGITS, axis=1), rtol=1e-12)
    np.testing.assert_allclose(sigmoid(LOGITS), scipy.special.expit(LOGITS), rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(softplus(-LOGITS), -scipy.special.log_expit(LOGITS), rtol=1e-12)
