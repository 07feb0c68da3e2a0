"""Linear models and trees of scikit-learn that learn from a teacher's outputs, as modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.students._rows_of_words import check_text
from limbeck.students.checks import check_positive

__all__ = ["Trees", "WordCounts", "fit_soft_labels", "word_counts"]

_least = 1e-6  # of a probability, before its logarithm
_tried = 256


class Trees(nn.Module):
    """Decision trees on features [B, F]: the mean over the trees of what stands in their leaves, [B, classes].

    Everything is in buffers, so that weights are saved, loaded and exported as those of any module; nothing has a
    gradient.

    Args:
        trees: their number.
        nodes: the largest number of nodes of one.
        depth: the longest way to a leaf.
        classes: numbers in a leaf.
        probabilities: leaves hold probabilities, and their mean's logarithm is returned, from 10⁻⁶ on.

    >>> Trees(trees=2, nodes=3, depth=1, classes=4)(torch.zeros(5, 6)).shape
    torch.Size([5, 4])
    """

    feature: Tensor
    threshold: Tensor
    below: Tensor
    above: Tensor
    leaf: Tensor

    def __init__(self, *, trees: int, nodes: int, depth: int, classes: int, probabilities: bool = False) -> None:
        check_positive("Trees", trees=trees, nodes=nodes, classes=classes)
        super().__init__()
        self.depth, self.nodes, self.probabilities = depth, nodes, probabilities
        self.register_buffer("feature", torch.zeros(trees * nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(trees * nodes))
        self.register_buffer("below", torch.zeros(trees * nodes, dtype=torch.int64))
        self.register_buffer("above", torch.zeros(trees * nodes, dtype=torch.int64))
        self.register_buffer("leaf", torch.zeros(trees * nodes, classes))

    def forward(self, features: Tensor) -> Tensor:
        roots = torch.arange(0, len(self.leaf), self.nodes, device=features.device)
        place = roots.unsqueeze(0).expand(features.shape[0], -1)
        for _ in range(self.depth):
            value = features.gather(1, self.feature[place])
            place = torch.where(value <= self.threshold[place], self.below[place], self.above[place])
        found = self.leaf[place].mean(1)
        return found.clamp(min=_least).log() if self.probabilities else found


def word_counts(input_ids: Tensor, attention_mask: Tensor | None, vocabulary: int) -> Tensor:
    """How often each entry of a vocabulary stands in each row, without padding: float [B, vocabulary].

    >>> word_counts(torch.tensor([[2, 1, 2, 0]]), None, 4).tolist()
    [[0.0, 1.0, 2.0, 0.0]]
    """
    real = (input_ids != 0 if attention_mask is None else attention_mask != 0).float()
    return real.new_zeros(input_ids.shape[0], vocabulary).scatter_add(1, input_ids, real)


class WordCounts(nn.Module):
    """A model of word counts [B, vocabulary], called as models of text are.

    Args:
        model: from counts to logits.
        vocabulary: number of entries; 0 is padding.

    >>> net = WordCounts(nn.Linear(10, 2), 10)
    >>> net(input_ids=torch.tensor([[4, 7]]), attention_mask=torch.tensor([[1, 1]])).shape
    torch.Size([1, 2])
    """

    def __init__(self, model: nn.Module, vocabulary: int) -> None:
        check_text("WordCounts", 1, vocabulary)
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        logits: Tensor = self.model(word_counts(input_ids, attention_mask, self.vocabulary))
        return logits


def fit_soft_labels(
    estimator: Any, features: Any, logits: Tensor | NDArray[np.floating], *, temperature: float = 1.0
) -> nn.Module:
    r"""Fit a model of scikit-learn to a teacher's logits.

    A regressor is fitted to the logits themselves, with one output for each class. A classifier is fitted to every row
    once for each class k, with the weight p_k = softmax(z / T)_k: its log loss, or its impurity, is then that of the
    teacher's probabilities.

    Args:
        estimator: linear (``Ridge``, ``LinearRegression``, ``Lasso``, ``LogisticRegression``, …), a decision tree, or a
            forest of them, for regression or classification. It is fitted in place.
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
            f"fit_soft_labels: logits of shape {list(target.shape)} for {rows} rows; expected finite ones, [{rows}, C]"
        )
    if not temperature > 0:
        raise ArgumentError(f"fit_soft_labels: temperature is {temperature}; expected a number above 0")
    if is_regressor(estimator):
        estimator.fit(features, target)
    elif is_classifier(estimator):
        _fit_classifier(estimator, features, target / temperature)
    else:
        raise ArgumentError(f"fit_soft_labels: {type(estimator).__name__} is no regressor and no classifier")
    module = _module(estimator, classifier=is_classifier(estimator))
    _check(estimator, module, features[:_tried])
    return module


def _fit_classifier(estimator: Any, features: Any, scores: NDArray[np.float64]) -> None:
    rows, classes = scores.shape
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    repeated = features[np.tile(np.arange(rows), classes)]
    estimator.fit(repeated, np.repeat(np.arange(classes), rows), sample_weight=weights.T.ravel())


def _module(estimator: Any, *, classifier: bool) -> nn.Module:
    if hasattr(estimator, "coef_"):
        return _linear(np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_), classifier)
    found = getattr(estimator, "estimators_", [estimator])
    if not all(hasattr(tree, "tree_") for tree in found):
        raise ArgumentError(
            f"fit_soft_labels: {type(estimator).__name__} is not supported; take a linear model, a decision tree, or a "
            "forest of them"
        )
    return _trees([tree.tree_ for tree in found], classifier)


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
            "take one that is linear in the logits, a decision tree, or a forest of them"
        )
