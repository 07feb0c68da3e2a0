from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, softmax
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from limbeck.errors import ArgumentError
from limbeck.models import Trees, fit_soft_labels, load_weights, save_weights, word_counts
from refusals import refused

ESTIMATORS: dict[str, Any] = {
    "ridge": lambda: Ridge(),
    "least_squares": lambda: LinearRegression(fit_intercept=False),
    "logistic": lambda: LogisticRegression(max_iter=500),
    "tree": lambda: DecisionTreeRegressor(max_depth=5, random_state=0),
    "tree_classifier": lambda: DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": lambda: RandomForestRegressor(n_estimators=4, max_depth=4, random_state=0),
    "forest_classifier": lambda: ExtraTreesClassifier(n_estimators=4, max_depth=4, random_state=0),
}


def data(classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 6)).astype(np.float32)
    return features, np.tanh(features @ random.normal(size=(6, classes))) * 2 + 0.3 * random.normal(size=(200, classes))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_modules_predict_what_scikit_learn_predicts(name: str, classes: int) -> None:
    features, scores = data(classes)
    estimator = ESTIMATORS[name]()
    module = fit_soft_labels(estimator, features, scores)
    # Rows that it has not seen.
    others = np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32)
    found = module(torch.from_numpy(others)).detach().numpy()
    assert found.shape == (300, classes)
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(softmax(found, axis=1), estimator.predict_proba(others), atol=1e-5)
    else:
        np.testing.assert_allclose(found, estimator.predict(others), atol=1e-5)


def test_a_regressor_learns_logits_by_least_squares() -> None:
    features, scores = data()
    module = fit_soft_labels(LinearRegression(), features, torch.from_numpy(scores))
    design = np.concatenate([features.astype(np.float64), np.ones((200, 1))], 1)
    expected = np.linalg.lstsq(design, scores, rcond=None)[0]
    np.testing.assert_allclose(module.weight.detach().numpy(), expected[:-1].T, atol=1e-5)
    np.testing.assert_allclose(module.bias.detach().numpy(), expected[-1], atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_classifier_minimizes_the_cross_entropy_with_the_teachers_probabilities(temperature: float) -> None:
    features, scores = data()
    estimator = LogisticRegression(C=1e9, max_iter=2000, tol=1e-9)
    module = fit_soft_labels(estimator, features, scores, temperature=temperature)
    target = softmax(scores / temperature, axis=1)
    # At the minimum, the gradient of the soft cross-entropy with respect to weights and biases is 0.
    error = softmax(module(torch.from_numpy(features)).detach().double().numpy(), axis=1) - target
    assert abs(features.T.astype(np.float64) @ error).max() / 200 < 1e-4
    assert abs(error.sum(0)).max() / 200 < 1e-4


def test_leaves_of_a_classifier_are_mean_probabilities() -> None:
    features, scores = data()
    estimator = DecisionTreeClassifier(max_depth=3, random_state=0)
    module = fit_soft_labels(estimator, features, scores)
    leaves, target = estimator.apply(features), softmax(scores, axis=1)
    means = np.stack([target[leaves == leaf].mean(0) for leaf in leaves])
    np.testing.assert_allclose(module(torch.from_numpy(features)).numpy(), np.log(means), atol=1e-4)
    assert np.abs(np.log(means) - log_softmax(scores, axis=1)).max() > 0.1


def test_thresholds_between_two_float32_are_kept() -> None:
    # Their mean, rounded to float32, is the higher one.
    low, high = np.float32(4 + 2**-21), np.float32(4 + 2**-20)
    features = np.array([[low], [high]] * 3, dtype=np.float32)
    estimator = DecisionTreeRegressor()
    module = fit_soft_labels(estimator, features, np.array([[0.0], [1.0]] * 3))
    assert estimator.predict(features).tolist() == [0.0, 1.0] * 3
    assert np.float32(estimator.tree_.threshold[0]) == high
    np.testing.assert_array_equal(module(torch.from_numpy(features)).squeeze(1).numpy(), estimator.predict(features))


def test_word_counts_as_sparse_features() -> None:
    ids = torch.tensor([[2, 1, 2, 0], [3, 0, 0, 0], [0, 0, 0, 0], [1, 3, 3, 3]])
    counts = word_counts(ids, None, 5)
    assert counts.tolist() == [np.bincount(row[row > 0], minlength=5).tolist() for row in ids.numpy()]
    masked = word_counts(ids, (ids != 3).long() * (ids != 0), 5)
    assert masked[:, 3].tolist() == [0.0] * 4
    scores = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 3.0]])
    for build in (lambda: Ridge(tol=1e-12), ESTIMATORS["tree"], ESTIMATORS["tree_classifier"]):
        dense = fit_soft_labels(build(), counts.numpy(), scores)
        sparse = fit_soft_labels(build(), csr_matrix(counts.numpy()), scores)
        torch.testing.assert_close(sparse(counts), dense(counts), atol=1e-4, rtol=1e-4)


def test_trees_are_saved_and_loaded_without_scikit_learn(tmp_path: Path) -> None:
    features, scores = data()
    module = fit_soft_labels(ESTIMATORS["forest_classifier"](), features, scores)
    assert isinstance(module, Trees)
    save_weights(module, tmp_path / "model.safetensors")
    other = Trees(trees=4, nodes=module.nodes, depth=module.depth, classes=3, probabilities=True)
    load_weights(other, tmp_path / "model.safetensors")
    given = torch.from_numpy(features)
    torch.testing.assert_close(other(given), module(given), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("estimator", "scores", "message"),
    [
        (Ridge(), np.zeros((3, 2)), r"logits of shape \[3, 2\] for 200 rows; expected finite ones, \[200, C\]"),
        (Ridge(), np.zeros(200), r"logits of shape \[200\] for 200 rows"),
        (Ridge(), np.full((200, 2), np.nan), r"expected finite ones"),
        (KMeans(), np.zeros((200, 2)), r"KMeans is no regressor and no classifier"),
        (
            HistGradientBoostingClassifier(max_iter=2),
            data(2)[1],
            r"HistGradientBoostingClassifier is not supported",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(estimator: Any, scores: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        fit_soft_labels(estimator, data()[0], scores)


def test_a_temperature_that_cannot_be_is_refused() -> None:
    with refused(ArgumentError, "out_of_range", "temperature"):
        fit_soft_labels(Ridge(), *data(), temperature=0)


def test_an_estimator_that_does_more_than_its_weights_is_refused() -> None:
    class Doubled(Ridge):  # type: ignore[misc]
        def predict(self, rows: Any) -> Any:
            return 2 * super().predict(rows)

    with refused(ArgumentError, "unsupported", "estimator", match=r"Doubled predicts otherwise than its weights, by"):
        fit_soft_labels(Doubled(), *data())
