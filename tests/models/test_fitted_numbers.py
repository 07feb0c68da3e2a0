"""Numbers fitted at once: what the modules predict, against scikit-learn and closed forms."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from limbeck.errors import ArgumentError
from limbeck.models import (
    decision_tree,
    fit_numbers,
    fit_soft_labels,
    gradient_boosting,
    lightgbm,
    logistic_regression,
    predict_numbers_,
    random_forest,
    ridge,
    sklearn_part,
)

ROWS, FEATURES = 120, 5
SHAPE: dict[str, Any] = {"channels": 1, "size": (1, FEATURES)}


def rows(count: int = ROWS, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def numbers() -> NDArray[np.float64]:
    """Two columns that are functions of the rows; a third of the second one is not known."""
    features = rows().astype(np.float64)
    found = np.stack([features[:, 0] ** 2 + features[:, 1], 10 * features[:, 2] - 3 * features[:, 3]], 1)
    found[::3, 1] = np.nan
    return found


def weights() -> NDArray[np.float64]:
    found = np.random.default_rng(1).uniform(0.2, 3, size=(ROWS, 2))
    return np.where(np.isnan(numbers()), 0.0, found)


ESTIMATORS: dict[str, Any] = {
    "ridge": (lambda: ridge(**SHAPE, classes=2, l2=2.0), lambda: Ridge(alpha=2.0)),
    "decision_tree": (
        lambda: decision_tree(**SHAPE, classes=2, leaves=9, depth=4),
        lambda: DecisionTreeRegressor(max_leaf_nodes=9, max_depth=4, random_state=3),
    ),
    "random_forest": (
        lambda: random_forest(**SHAPE, classes=2, trees=7, leaves=12),
        lambda: RandomForestRegressor(7, max_leaf_nodes=12, max_depth=16, random_state=3),
    ),
    "gradient_boosting": (
        lambda: gradient_boosting(**SHAPE, classes=2, trees=11, leaves=5, rate=0.3),
        lambda: GradientBoostingRegressor(
            n_estimators=11, max_leaf_nodes=5, max_depth=6, learning_rate=0.3, random_state=3
        ),
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_number_is_what_scikit_learn_predicts_for_it_alone(name: str) -> None:
    build, estimator = ESTIMATORS[name]
    net = predict_numbers_(build(), 2)
    part = sklearn_part(net)
    assert part is not None
    assert part.predicts_numbers
    target, weight = numbers(), weights()
    part.fit_numbers_(rows(), target, weight, seed=3)
    new = rows(300, seed=7)
    found = net(torch.from_numpy(new)).detach().numpy()
    for column in range(2):
        known = weight[:, column] > 0
        alone = estimator().fit(rows()[known], target[known, column], sample_weight=weight[known, column])
        np.testing.assert_allclose(found[:, column], alone.predict(new), atol=1e-4)
    again = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert torch.equal(again(torch.from_numpy(new)), net(torch.from_numpy(new)))


def test_ridge_is_the_closed_form() -> None:
    features, target = rows().astype(np.float64), numbers()[:, :1]
    weight = weights()[:, :1]
    net = predict_numbers_(ridge(**SHAPE, classes=1, l2=4.0), 1)
    part = sklearn_part(net)
    assert part is not None
    part.fit_numbers_(rows(), target, weight)
    share = weight[:, 0] / weight[:, 0].sum()
    centred, about = features - share @ features, target[:, 0] - share @ target[:, 0]
    gram = centred.T @ (weight * centred) + 4.0 * np.eye(FEATURES)
    slope = np.linalg.solve(gram, centred.T @ (weight[:, 0] * about))
    linear: Any = part.model
    np.testing.assert_allclose(linear.weight.detach().numpy()[0], slope, atol=1e-5)
    np.testing.assert_allclose(linear.bias.item(), share @ target[:, 0] - share @ features @ slope, atol=1e-5)


def test_a_branch_is_the_best_of_all() -> None:
    """Brute force over every threshold of every feature, for a tree of two leaves."""
    target, weight = numbers()[:, :1], weights()[:, :1]
    net = predict_numbers_(decision_tree(**SHAPE, classes=1, leaves=2), 1)
    part = sklearn_part(net)
    assert part is not None
    part.fit_numbers_(rows(), target, weight)

    def error(predicted: NDArray[np.float64]) -> float:
        return float((weight[:, 0] * (predicted - target[:, 0]) ** 2).sum())

    least = np.inf
    for feature in range(FEATURES):
        for threshold in rows()[:, feature]:
            below = rows()[:, feature] <= threshold
            sides = [
                np.average(target[side, 0], weights=weight[side, 0]) if side.any() else 0.0 for side in (below, ~below)
            ]
            least = min(least, error(np.where(below, *sides)))
    assert error(net(torch.from_numpy(rows())).detach().double().numpy()[:, 0]) == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_boosting_of_classes_is_that_of_scikit_learn(classes: int) -> None:
    logits = np.random.default_rng(5).normal(size=(ROWS, classes)) * 2 + rows()[:, :classes]
    boosting = GradientBoostingClassifier(n_estimators=6, max_leaf_nodes=4, random_state=0)
    net = fit_soft_labels(boosting, rows(), logits)
    new = rows(200, seed=9)
    np.testing.assert_allclose(net(torch.from_numpy(new)).softmax(1).numpy(), boosting.predict_proba(new), atol=1e-5)
    whole = gradient_boosting(**SHAPE, classes=classes, trees=6, leaves=4)
    part = sklearn_part(whole)
    assert part is not None
    part.fit_(rows(), np.eye(classes)[logits.argmax(1)])
    expected = GradientBoostingClassifier(n_estimators=6, max_leaf_nodes=4, max_depth=6, random_state=0)
    expected.fit(rows(), logits.argmax(1))
    np.testing.assert_allclose(
        whole(torch.from_numpy(new)).softmax(1).detach().numpy(), expected.predict_proba(new), atol=1e-5
    )


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_lightgbm_is_kept_as_trees(classes: int | None) -> None:
    package = pytest.importorskip("lightgbm")
    new, settings = rows(200, seed=9), {"random_state": 0, "verbose": -1, "n_jobs": 1}
    net = lightgbm(**SHAPE, classes=classes or 1, trees=12, leaves=6)
    part = sklearn_part(predict_numbers_(net, 1) if classes is None else net)
    assert part is not None
    if classes is None:
        part.fit_numbers_(rows(), numbers()[:, :1], np.ones((ROWS, 1)))
        expected = package.LGBMRegressor(n_estimators=12, num_leaves=6, max_depth=16, **settings)
        predicted = expected.fit(rows(), numbers()[:, 0]).predict(new)
        found = net(torch.from_numpy(new))[:, 0]
    else:
        labels = np.random.default_rng(2).integers(0, classes, ROWS)
        part.fit_(rows(), np.eye(classes)[labels])
        expected = package.LGBMClassifier(n_estimators=12, num_leaves=6, max_depth=16, **settings)
        predicted = expected.fit(rows(), labels).predict_proba(new)
        found = net(torch.from_numpy(new)).softmax(1)
    np.testing.assert_allclose(found.detach().numpy(), predicted, atol=1e-4)


def test_lightgbm_that_stops_early_is_filled_with_trees_of_0() -> None:
    package = pytest.importorskip("lightgbm")
    few = rows(20)
    net = predict_numbers_(lightgbm(**SHAPE, classes=1, trees=5), 1)
    part = sklearn_part(net)
    assert part is not None
    # Fewer rows than two leaves need: every tree is one leaf.
    part.fit_numbers_(few, few[:, :1].astype(np.float64), np.ones((20, 1)))
    expected = package.LGBMRegressor(n_estimators=5, verbose=-1).fit(few, few[:, 0]).predict(few)
    np.testing.assert_allclose(net(torch.from_numpy(few)).detach().numpy()[:, 0], expected, atol=1e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ArgumentError, match="fitted to classes, and the task predicts numbers"):
        predict_numbers_(logistic_regression(**SHAPE, classes=1), 1)
    wrong = numbers()
    wrong[1, 0] = np.inf
    with pytest.raises(ArgumentError, match="not finite; look at the outputs of the teacher"):
        fit_numbers(DecisionTreeRegressor, rows(), wrong, weights())
    nothing = weights()
    nothing[:, 1] = 0
    with pytest.raises(ArgumentError, match=r"none of the 120 rows has number 1 of 2"):
        fit_numbers(DecisionTreeRegressor, rows(), numbers(), nothing)
    with pytest.raises(ArgumentError, match=r"expected \[120, K\] for both"):
        fit_numbers(DecisionTreeRegressor, rows(), numbers()[:, 0], weights())
    for options in ({"leaves": 1}, {"rate": 0.0}, {"trees": 0}):
        with pytest.raises(ArgumentError, match=f"gradient_boosting: {next(iter(options))}"):
            gradient_boosting(**SHAPE, classes=1, **options)  # type: ignore[arg-type]
