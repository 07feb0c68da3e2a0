"""Trees that are added up, fitted by scikit-learn or LightGBM and kept as weights."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive
from limbeck.models.sklearn_models import trees_of_numbers
from limbeck.models.sklearn_module import SklearnModule
from limbeck.models.trees import Trees
from limbeck.registry import register

__all__ = ["gradient_boosting", "lightgbm"]


@register("model", "gradient_boosting")
def gradient_boosting(
    *,
    channels: int,
    classes: int,
    size: tuple[int, int],
    trees: int = 100,
    leaves: int = 8,
    depth: int = 6,
    rate: float = 0.1,
) -> nn.Module:
    r"""Small trees, each fitted to what the ones before leave over, by scikit-learn.

    .. math:: f(x) = f_0 + \nu \sum_{t=1}^{T} h_t(x)

    Of classes, f gives logits, with trees for each class (of two classes, for the second alone); of several numbers,
    each has trees of its own.

    Args:
        channels: of the images.
        classes: number of logits, or of numbers.
        size: height and width.
        trees: their number T.
        leaves: the most that one grows, those first that gain most.
        depth: the longest way to a leaf.
        rate: the share ν of each tree that is added.

    Raises:
        ArgumentError: if leaves is below 2, another number below 1, or rate not above 0.

    >>> import torch
    >>> gradient_boosting(channels=1, classes=3, size=(1, 5), trees=2)(torch.zeros(4, 5)).shape
    torch.Size([4, 3])

    Friedman, 2001, "Greedy Function Approximation: A Gradient Boosting Machine", The Annals of Statistics 29 (5).
    """
    makers = (partial(_sklearn, "GradientBoostingClassifier"), partial(_sklearn, "GradientBoostingRegressor"))
    return _boosted("gradient_boosting", makers, classes, trees, leaves, depth, rate)


@register("model", "lightgbm")
def lightgbm(
    *,
    channels: int,
    classes: int,
    size: tuple[int, int],
    trees: int = 100,
    leaves: int = 31,
    depth: int = 16,
    rate: float = 0.1,
) -> nn.Module:
    """Small trees, each fitted to what the ones before leave over, by LightGBM, in one thread.

    The run keeps the trees themselves: LightGBM is needed to fit them, and not to use them. A run that is to fit them
    without it is refused before it begins.

    Args:
        channels: of the images.
        classes: number of logits, or of numbers.
        size: height and width.
        trees: the most that are grown for a class or a number.
        leaves: the most that one grows, those first that gain most.
        depth: the longest way to a leaf.
        rate: the share of each tree that is added.

    Raises:
        ArgumentError: if leaves is below 2, another number below 1, or rate not above 0.

    Ke et al., 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", Advances in Neural Information
    Processing Systems 30.
    """
    makers = (partial(_lightgbm, "LGBMClassifier"), partial(_lightgbm, "LGBMRegressor"))
    return _boosted("lightgbm", makers, classes, trees, leaves, depth, rate)


def _boosted(
    name: str, makers: tuple[Any, Any], classes: int, trees: int, leaves: int, depth: int, rate: float
) -> nn.Module:
    check_positive(name, trees=trees, classes=classes, depth=depth)
    if leaves < 2:
        raise ArgumentError(f"{name}: leaves is {leaves}; expected at least 2", path="leaves")
    if not rate > 0:
        raise ArgumentError(f"{name}: rate is {rate}; expected a number above 0, such as 0.1", path="rate")
    classifier, regressor = (partial(maker, trees, leaves, depth, rate) for maker in makers)
    nodes, outputs = 2 * leaves - 1, 1 if classes == 2 else classes
    part = SklearnModule(
        Trees(trees=trees * outputs, nodes=nodes, depth=depth, classes=classes),
        classifier,
        numbers=partial(trees_of_numbers, regressor, trees, nodes, depth),
    )
    return nn.Sequential(nn.Flatten(), part)


def _sklearn(name: str, trees: int, leaves: int, depth: int, rate: float, seed: int) -> Any:
    from sklearn import ensemble

    return getattr(ensemble, name)(
        n_estimators=trees, max_leaf_nodes=leaves, max_depth=depth, learning_rate=rate, random_state=seed
    )


def _lightgbm(name: str, trees: int, leaves: int, depth: int, rate: float, seed: int) -> Any:
    return getattr(_installed(), name)(
        n_estimators=trees,
        num_leaves=leaves,
        max_depth=depth,
        learning_rate=rate,
        random_state=seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


def _installed() -> Any:
    try:
        return importlib.import_module("lightgbm")
    except ImportError as error:
        raise ArgumentError(
            f"lightgbm: LightGBM cannot be imported ({error}); run pip install lightgbm, or take gradient_boosting",
            code="not_installed",
        ) from error
