"""Linear models and trees of scikit-learn that learn from a teacher's outputs, as modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.trees import Trees

__all__ = ["fit_classifier", "fit_numbers", "fit_soft_labels"]

_tried = 256


def fit_soft_labels(
    estimator: Any, features: Any, logits: Tensor | NDArray[np.floating], *, temperature: float = 1.0
) -> nn.Module:
    r"""Fit a model of scikit-learn to a teacher's logits.

    A regressor is fitted to the logits themselves, with one output for each class. A classifier is fitted to every row
    once for each class k, with the weight p_k = softmax(z / T)_k: its log loss, or its impurity, is then that of the
    teacher's probabilities.

    Args:
        estimator: linear (``Ridge``, ``LinearRegression``, ``Lasso``, ``LogisticRegression``, …), a decision tree, a
            forest of them, or gradient boosting, for regression or classification. It is fitted in place.
        features: [N, F], an array or a sparse matrix.
        logits: of the teacher, [N, C].
        temperature: T, for classifiers.

    Returns:
        A module from features [B, F] to logits [B, C]: ``nn.Linear``, or `Trees`. Those of a classifier are logits of
        its probabilities.

    Raises:
        ArgumentError: if shapes do not fit, a logit is not finite, the temperature is not above 0, or the module cannot
            say what the estimator predicts.

    >>> from sklearn.tree import DecisionTreeRegressor
    >>> tree = fit_soft_labels(DecisionTreeRegressor(), np.eye(3), np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> tree(torch.eye(3)).tolist()
    [[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]

    Ba, Caruana, 2014, "Do Deep Nets Really Need to be Deep?", arXiv:1312.6184 (regression on logits). Breiman, Shang,
    1996, "Born Again Trees", University of California, Berkeley (a tree in place of a model that taught it).
    """
    from sklearn.base import is_classifier, is_regressor

    target = np.asarray(logits, dtype=np.float64)
    rows = features.shape[0]
    if target.ndim != 2 or target.shape[0] != rows or not np.isfinite(target).all():
        raise ArgumentError(
            f"fit_soft_labels: logits of shape {list(target.shape)} for {rows} rows; expected finite ones, [{rows}, C]",
            code="wrong_shape",
            path="logits",
        )
    if not temperature > 0:
        raise ArgumentError(
            f"fit_soft_labels: temperature is {temperature}; expected a number above 0", path="temperature"
        )
    if is_classifier(estimator):
        return fit_classifier(estimator, features, softmax(target / temperature, axis=1))
    if not is_regressor(estimator):
        raise ArgumentError(
            f"fit_soft_labels: {type(estimator).__name__} is no regressor and no classifier",
            code="unsupported",
            path="estimator",
        )
    estimator.fit(features, target)
    return _told(estimator, features, classifier=False)


def fit_classifier(estimator: Any, features: Any, shares: NDArray[np.float64]) -> nn.Module:
    """Fit a classifier of scikit-learn to rows that belong to several classes at once, each with a weight of its own.

    Args:
        estimator: as in `fit_soft_labels`; fitted in place.
        features: [N, F], an array or a sparse matrix.
        shares: how much of each class a row is, at least 0, [N, C]. Rows of zeros do not count.

    Returns:
        A module from features [B, F] to logits [B, C].

    Raises:
        ArgumentError: if the module cannot say what the estimator predicts.

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> tree = fit_classifier(DecisionTreeClassifier(), np.eye(2), np.array([[3.0, 1.0], [0.0, 1.0]]))
    >>> tree(torch.eye(2)).softmax(1).round(decimals=3)
    tensor([[0.7500, 0.2500],
            [0.0000, 1.0000]])
    """
    rows, classes = np.nonzero(shares)
    # A class without any weight is still one of the logits.
    absent = np.flatnonzero(shares.sum(0) == 0)
    rows, classes = np.concatenate([rows, 0 * absent]), np.concatenate([classes, absent])
    estimator.fit(features[rows], classes, sample_weight=shares[rows, classes])
    return _told(estimator, features, classifier=True)


def fit_numbers(
    estimator: Callable[[], Any], features: Any, target: NDArray[np.float64], weights: NDArray[np.float64]
) -> nn.Module:
    r"""Fit regressors of scikit-learn to numbers that have a weight each, one regressor for each column.

    .. math:: \min_{f_k} \sum_i w_{ik} (f_k(x_i) - y_{ik})^2

    A number of weight 0, such as an unknown label, is not read: a row may count for one column and not for another.

    Args:
        estimator: makes a regressor, as in `fit_soft_labels`, anew on every call.
        features: [N, F], an array or a sparse matrix.
        target: the numbers, [N, K].
        weights: of each number, at least 0, [N, K].

    Returns:
        A module from features [B, F] to numbers [B, K]: ``nn.Linear``, or `Trees` with the trees of one column after
        those of another.

    Raises:
        ArgumentError: if shapes do not fit, a number that counts or a weight is not finite, a column has no number that
            counts, or the module cannot say what an estimator predicts.

    >>> from sklearn.tree import DecisionTreeRegressor
    >>> target = np.array([[1.0, 5.0], [3.0, np.nan]])
    >>> tree = fit_numbers(DecisionTreeRegressor, np.eye(2), target, np.array([[1.0, 1.0], [1.0, 0.0]]))
    >>> tree(torch.eye(2)).tolist()
    [[1.0, 5.0], [3.0, 5.0]]
    """
    counted = weights > 0
    if target.shape != weights.shape or target.ndim != 2 or len(target) != features.shape[0]:
        raise ArgumentError(
            f"fit_numbers: numbers of shape {list(target.shape)} and weights of shape {list(weights.shape)} for "
            f"{features.shape[0]} rows; expected [{features.shape[0]}, K] for both",
            code="wrong_shape",
            path="weights" if target.ndim == 2 and len(target) == features.shape[0] else "target",
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not np.isfinite(target[counted]).all():
        raise ArgumentError(
            "fit_numbers: a number or a weight is not finite; look at the outputs of the teacher",
            code="not_finite",
            path="target",
        )
    modules = []
    for column in range(target.shape[1]):
        used = np.flatnonzero(counted[:, column])
        if not len(used):
            raise ArgumentError(
                f"fit_numbers: none of the {len(target)} rows has number {column} of {target.shape[1]}; give labels "
                "or a teacher of it",
                code="missing",
                path="target",
            )
        regressor = estimator()
        regressor.fit(features[used], target[used, column], sample_weight=weights[used, column])
        modules.append(_told(regressor, features[used], classifier=False))
    return modules[0] if len(modules) == 1 else _side_by_side(modules)


def _side_by_side(modules: Sequence[nn.Module]) -> nn.Module:
    """Modules of one number each as one module of all."""
    if isinstance(modules[0], nn.Linear):
        linear = nn.Linear(modules[0].in_features, len(modules))
        with torch.no_grad():
            lines = [module for module in modules if isinstance(module, nn.Linear)]
            linear.weight.copy_(torch.cat([line.weight for line in lines]))
            linear.bias.copy_(torch.cat([line.bias for line in lines]))
        return linear
    return Trees.of_columns([module for module in modules if isinstance(module, Trees)])


def _told(estimator: Any, features: Any, *, classifier: bool) -> nn.Module:
    module = _module(estimator, classifier=classifier)
    _check(estimator, module, features[:_tried])
    return module


def _module(estimator: Any, *, classifier: bool) -> nn.Module:
    if hasattr(estimator, "coef_"):
        return _linear(np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_), classifier)
    if hasattr(estimator, "booster_"):
        return _of_lightgbm(estimator)
    found = getattr(estimator, "estimators_", [estimator])
    if isinstance(found, np.ndarray) and found.ndim == 2:
        return _boosted(estimator, found)
    if not all(hasattr(tree, "tree_") for tree in found):
        raise ArgumentError(
            f"fit_soft_labels: {type(estimator).__name__} is not supported; take a linear model, a decision tree, a "
            "forest of them, or gradient boosting",
            code="unsupported",
            path="estimator",
        )
    return _trees([tree.tree_ for tree in found], classifier)


def _boosted(estimator: Any, found: Any) -> Trees:
    """Trees that are added up: stages by outputs; of two classes the one output is the logit of the second."""
    stages, outputs = found.shape
    binary = hasattr(estimator, "classes_") and outputs == 1
    trees = _trees([tree.tree_ for tree in found.T.flat], False)
    row = np.zeros((1, estimator.n_features_in_))
    steps = np.array([[tree.predict(row)[0] for tree in stage] for stage in found]).sum(0)
    whole = np.ravel(estimator.decision_function(row) if hasattr(estimator, "classes_") else estimator.predict(row))
    begin = whole - estimator.learning_rate * steps
    with torch.no_grad():
        # The mean over the trees of an output is to be the sum of its stages.
        trees.leaf.mul_(estimator.learning_rate * stages)
        trees.leaf.view(outputs, -1, 1).add_(torch.from_numpy(begin).float().reshape(-1, 1, 1))
    if outputs == 1 and not binary:
        return trees
    return trees.spread([1] * stages if binary else [at for at in range(outputs) for _ in range(stages)])


def _of_lightgbm(estimator: Any) -> Trees:
    """The trees of LightGBM, for features without missing values; those that it did not need are 0."""
    outputs = estimator.booster_.num_model_per_iteration()
    grown = [_nodes(tree["tree_structure"]) for tree in estimator.booster_.dump_model()["tree_info"]]
    stages = estimator.n_estimators
    trees = Trees(
        trees=outputs * stages,
        nodes=max(len(tree) for tree in grown),
        depth=max(1, *(node[5] for tree in grown for node in tree)),
        classes=1,
    )
    with torch.no_grad():
        for number, tree in enumerate(grown):
            # Stages by outputs, as one output after the other.
            start = (number % outputs * stages + number // outputs) * trees.nodes
            feature, threshold, below, above, leaf, _ = (np.array(part) for part in zip(*tree, strict=True))
            own = slice(start, start + len(tree))
            trees.feature[own] = torch.from_numpy(feature)
            trees.threshold[own] = torch.from_numpy(_at_most(threshold))
            trees.below[own] = torch.from_numpy(below + start)
            trees.above[own] = torch.from_numpy(above + start)
            trees.leaf[own, 0] = torch.from_numpy(leaf * stages).float()
        for start in range(0, outputs * stages * trees.nodes, trees.nodes):
            if not trees.below[start] and start:
                trees.below[start] = trees.above[start] = start
    if not hasattr(estimator, "classes_"):
        return trees
    return trees.spread([1] * stages if outputs == 1 else [at for at in range(outputs) for _ in range(stages)])


def _nodes(root: Any) -> list[tuple[int, float, int, int, float, int]]:
    """The nodes of a tree: feature, threshold, the places below and above it, the value, and its depth."""
    found: list[tuple[int, float, int, int, float, int]] = []

    def visit(node: Any, depth: int) -> int:
        place = len(found)
        found.append((0, 0.0, place, place, float(node.get("leaf_value", 0.0)), depth))
        if "split_feature" in node:
            if node["decision_type"] != "<=":
                raise ArgumentError(
                    f"fit_soft_labels: a branch of LightGBM decides by {node['decision_type']!r}", code="unsupported"
                )
            below, above = visit(node["left_child"], depth + 1), visit(node["right_child"], depth + 1)
            found[place] = (node["split_feature"], float(node["threshold"]), below, above, 0.0, depth)
        return place

    visit(root, 0)
    return found


def _linear(weight: NDArray[np.float64], bias: NDArray[np.float64], classifier: bool) -> nn.Module:
    if classifier and len(weight) == 1:  # of two classes, the score of the second
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    linear = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(np.broadcast_to(bias, len(weight)).copy()))
    return linear


def _trees(found: Sequence[Any], classifier: bool) -> Trees:
    leaves = [tree.value[:, 0, :] if classifier else tree.value[:, :, 0] for tree in found]
    nodes = max(tree.node_count for tree in found)
    module = Trees(
        trees=len(found),
        nodes=nodes,
        depth=max(tree.max_depth for tree in found),
        classes=leaves[0].shape[1],
        probabilities=classifier,
    )
    for number, (tree, values) in enumerate(zip(found, leaves, strict=True)):
        own = slice(number * nodes, number * nodes + tree.node_count)
        places = np.arange(tree.node_count)
        inner = tree.children_left >= 0
        module.feature[own] = torch.from_numpy(np.where(inner, tree.feature, 0))
        module.threshold[own] = torch.from_numpy(_at_most(tree.threshold))
        module.below[own] = torch.from_numpy(np.where(inner, tree.children_left, places) + own.start)
        module.above[own] = torch.from_numpy(np.where(inner, tree.children_right, places) + own.start)
        module.leaf[own] = torch.from_numpy(values).float()
    return module


def _at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is no larger: features are compared as float32, and thresholds are not."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _check(estimator: Any, module: nn.Module, features: Any) -> None:
    """Refuse an estimator that does something else with what it has learnt."""
    dense = np.asarray(features.toarray() if hasattr(features, "toarray") else features, dtype=np.float32)
    with torch.no_grad():
        found = module(torch.from_numpy(dense)).double()
    if hasattr(estimator, "predict_proba"):
        expected, found = estimator.predict_proba(dense), found.softmax(1)
    else:
        expected = estimator.predict(dense).reshape(found.shape)
    difference = float(np.abs(expected - found.numpy()).max())
    if not difference <= 1e-4 * max(1.0, float(np.abs(expected).max())):
        raise ArgumentError(
            f"fit_soft_labels: {type(estimator).__name__} predicts otherwise than its weights, by {difference:.3g}; "
            "take one that is linear in the logits, a decision tree, a forest of them, or gradient boosting",
            code="unsupported",
            path="estimator",
        )
