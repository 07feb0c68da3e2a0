"""Models of scikit-learn for texts, images and tables, fitted to the outputs of a teacher."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, Literal

from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive
from limbeck.models.sklearn_module import SklearnModule
from limbeck.models.text.embeddings import check_text
from limbeck.models.text.word_counts import TfIdf, WordCounts
from limbeck.models.trees import Trees
from limbeck.registry import register

__all__ = [
    "SKLEARN_MODELS",
    "decision_tree",
    "decision_tree_of_words",
    "logistic_regression",
    "logistic_regression_of_words",
    "random_forest",
    "random_forest_of_words",
    "ridge",
    "trees_of_numbers",
]

SKLEARN_MODELS = (
    "logistic_regression",
    "ridge",
    "decision_tree",
    "random_forest",
    "gradient_boosting",
    "lightgbm",
)

Weighing = Literal["tf_idf", "counts"]


@register("model", "logistic_regression")
def logistic_regression(*, channels: int, classes: int, size: tuple[int, int], l2: float = 1.0) -> nn.Module:
    """Logits that are linear in the pixels, fitted with a penalty on the weights.

    Args:
        channels: of the images.
        classes: number of logits.
        size: height and width.
        l2: the penalty is l2 / 2 times the squared norm of the weights, beside the sum of the losses of all rows.

    Raises:
        ArgumentError: if a number is not above 0.

    >>> import torch
    >>> logistic_regression(channels=1, classes=3, size=(8, 8))(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """
    return _of_pixels(_linear(prod((channels, *size)), classes, l2))


@register("model", "decision_tree")
def decision_tree(
    *, channels: int, classes: int, size: tuple[int, int], leaves: int = 64, depth: int = 16
) -> nn.Module:
    """A decision tree on pixels, or on the columns of a table; of several numbers, one tree for each.

    Args:
        channels: of the images.
        classes: number of logits, or of numbers.
        size: height and width.
        leaves: the most that it grows, those first that gain most.
        depth: the longest way to a leaf.

    Raises:
        ArgumentError: if leaves is below 2 or depth below 1.
    """
    return _of_pixels(_grown((_tree, _number_tree), 1, classes, leaves, depth))


@register("model", "random_forest")
def random_forest(
    *, channels: int, classes: int, size: tuple[int, int], trees: int = 50, leaves: int = 256, depth: int = 16
) -> nn.Module:
    """A forest of decision trees on pixels or columns, each grown on rows and features drawn at random.

    Of several numbers, each has a forest of its own.

    Args:
        channels: of the images.
        classes: number of logits, or of numbers.
        size: height and width.
        trees: their number.
        leaves: the most that one grows, those first that gain most.
        depth: the longest way to a leaf.

    Raises:
        ArgumentError: if leaves is below 2 or another number below 1.

    Breiman, 2001, "Random Forests", Machine Learning 45 (1).
    """
    return _of_pixels(_grown(_forests(trees), trees, classes, leaves, depth))


@register("model", "ridge")
def ridge(*, channels: int, classes: int, size: tuple[int, int], l2: float = 1.0) -> nn.Module:
    r"""Numbers that are linear in the columns or pixels, fitted in closed form with a penalty on the weights.

    .. math:: \min_{w, b} \sum_i a_i (w \cdot x_i + b - y_i)^2 + \lambda \lVert w \rVert_2^2

    of features and numbers that are standardized, where the weights a of the rows have the mean 1.

    Args:
        channels: of the images.
        classes: how many numbers.
        size: height and width.
        l2: the penalty λ.

    Raises:
        ArgumentError: if a number is not above 0.

    >>> import torch
    >>> ridge(channels=1, classes=2, size=(1, 5))(torch.zeros(3, 5)).shape
    torch.Size([3, 2])

    Hoerl, Kennard, 1970, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics 12 (1).
    """
    features = prod((channels, *size))
    check_positive("ridge", features=features, classes=classes)
    _check_penalty("ridge", l2)
    numbers = partial(_linear_numbers, partial(_ridge, l2), features)
    return _of_pixels(SklearnModule(nn.Linear(features, classes), None, numbers=numbers))


@register("model", "logistic_regression", inputs="texts")
def logistic_regression_of_words(
    *, classes: int, vocabulary: int, words: Weighing = "tf_idf", l2: float = 1.0
) -> nn.Module:
    """Logits that are linear in the words of a text, fitted with a penalty on the weights.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.
        words: what is read of a text: its counts of words, or these weighed by `TfIdf`.
        l2: the penalty is l2 / 2 times the squared norm of the weights, beside the sum of the losses of all rows.

    Raises:
        ArgumentError: if a number is not above 0.

    >>> import torch
    >>> logistic_regression_of_words(classes=3, vocabulary=9)(input_ids=torch.tensor([[4, 7]])).shape
    torch.Size([1, 3])
    """
    return _of_words(_linear(vocabulary, classes, l2), classes, vocabulary, words)


@register("model", "decision_tree", inputs="texts")
def decision_tree_of_words(
    *, classes: int, vocabulary: int, words: Weighing = "tf_idf", leaves: int = 64, depth: int = 16
) -> nn.Module:
    """A decision tree on the words of a text.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.
        words: what is read of a text: its counts of words, or these weighed by `TfIdf`.
        leaves: the most that it grows, those first that gain most.
        depth: the longest way to a leaf.

    Raises:
        ArgumentError: if leaves is below 2 or another number below 1.
    """
    return _of_words(_grown((_tree, _number_tree), 1, classes, leaves, depth), classes, vocabulary, words)


@register("model", "random_forest", inputs="texts")
def random_forest_of_words(
    *,
    classes: int,
    vocabulary: int,
    words: Weighing = "tf_idf",
    trees: int = 50,
    leaves: int = 256,
    depth: int = 16,
) -> nn.Module:
    """A forest of decision trees on the words of a text, each grown on rows and words drawn at random.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.
        words: what is read of a text: its counts of words, or these weighed by `TfIdf`.
        trees: their number.
        leaves: the most that one grows, those first that gain most.
        depth: the longest way to a leaf.

    Raises:
        ArgumentError: if leaves is below 2 or another number below 1.
    """
    return _of_words(_grown(_forests(trees), trees, classes, leaves, depth), classes, vocabulary, words)


def _of_pixels(fitted: SklearnModule) -> nn.Module:
    return nn.Sequential(nn.Flatten(), fitted)


def _of_words(fitted: SklearnModule, classes: int, vocabulary: int, words: Weighing) -> nn.Module:
    check_text("a model of words", classes, vocabulary)
    fitted.scaling = TfIdf(vocabulary) if words == "tf_idf" else None
    return WordCounts(fitted, vocabulary)


def _linear(features: int, classes: int, l2: float) -> SklearnModule:
    check_positive("logistic_regression", features=features, classes=classes)
    _check_penalty("logistic_regression", l2)
    return SklearnModule(nn.Linear(features, classes), partial(_logistic_regression, l2))


def _linear_numbers(regressor: Any, features: int, count: int) -> tuple[nn.Linear, Any]:
    return nn.Linear(features, count), regressor


def _check_penalty(name: str, l2: float) -> None:
    if not l2 > 0:
        raise ArgumentError(f"{name}: l2 is {l2}; expected a number above 0", path="l2")


def _grown(makers: tuple[Any, Any], trees: int, classes: int, leaves: int, depth: int) -> SklearnModule:
    """Trees of a classifier, and of the regressor that takes its place where the task predicts numbers."""
    check_positive("trees", trees=trees, classes=classes, depth=depth)
    if leaves < 2:
        raise ArgumentError(f"trees: leaves is {leaves}; expected at least 2", path="leaves")
    classifier, regressor = (partial(maker, leaves, depth) for maker in makers)
    # A tree has one leaf more than it has inner nodes.
    nodes = 2 * leaves - 1
    return SklearnModule(
        Trees(trees=trees, nodes=nodes, depth=depth, classes=classes, probabilities=True),
        classifier,
        numbers=partial(trees_of_numbers, regressor, trees, nodes, depth),
    )


def trees_of_numbers(regressor: Any, trees: int, nodes: int, depth: int, count: int) -> tuple[Trees, Any]:
    """Trees for each of several numbers, and what makes their regressor from a seed."""
    return Trees(trees=trees * count, nodes=nodes, depth=depth, classes=count), regressor


def _forests(trees: int) -> tuple[Any, Any]:
    return partial(_forest, trees), partial(_number_forest, trees)


def _logistic_regression(l2: float, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / l2, max_iter=10_000, random_state=seed)


def _ridge(l2: float, seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=l2, solver="cholesky", random_state=seed)


def _tree(leaves: int, depth: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_leaf_nodes=leaves, max_depth=depth, random_state=seed)


def _number_tree(leaves: int, depth: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_leaf_nodes=leaves, max_depth=depth, random_state=seed)


def _forest(trees: int, leaves: int, depth: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, max_leaf_nodes=leaves, max_depth=depth, random_state=seed)


def _number_forest(trees: int, leaves: int, depth: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(trees, max_leaf_nodes=leaves, max_depth=depth, random_state=seed)
