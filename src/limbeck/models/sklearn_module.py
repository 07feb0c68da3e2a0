"""A model that is fitted at once, in place of many steps along a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.soft_labels import fit_classifier, fit_numbers
from limbeck.models.text.word_counts import TfIdf
from limbeck.models.trees import Trees

__all__ = ["SklearnModule", "predict_numbers_", "sklearn_part"]

# What is learned, and what makes the estimator from a seed.
Learned: TypeAlias = tuple[nn.Linear | Trees, Callable[[int], Any]]


class SklearnModule(nn.Module):
    """What an estimator of scikit-learn learned: from features [B, F] to logits [B, C], or to numbers [B, K].

    Args:
        model: ``nn.Linear`` or `Trees`, large enough for what the estimator learns.
        estimator: makes the classifier, of scikit-learn, from a seed; None if there is none.
        scaling: what changes the features first.
        numbers: gives both for K numbers, with a regressor in place of the classifier; None if there is none.

    >>> from sklearn.linear_model import LogisticRegression
    >>> net = SklearnModule(nn.Linear(2, 2), lambda seed: LogisticRegression(random_state=seed))
    >>> net.fit_(np.eye(2), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> net(torch.eye(2)).argmax(1)
    tensor([0, 1])
    """

    def __init__(
        self,
        model: nn.Linear | Trees,
        estimator: Callable[[int], Any] | None,
        *,
        scaling: TfIdf | None = None,
        numbers: Callable[[int], Learned] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.estimator = estimator
        self.scaling = scaling
        self.numbers = numbers
        self.predicts_numbers = False
        # A parameter, so that an objective can be tried by one step along a gradient, also where trees have none.
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.model(self._scaled(features))
        return logits * self.temperature

    def _scaled(self, features: Tensor) -> Tensor:
        return features if self.scaling is None else self.scaling(features)

    def predict_numbers_(self, count: int) -> None:
        """Predict so many numbers, in place of logits; nothing is learned yet.

        Raises:
            ArgumentError: if the model is one of classes alone.
        """
        if self.numbers is None:
            raise ArgumentError(
                "it is fitted to classes, and the task predicts numbers; take ridge, decision_tree, random_forest or "
                "gradient_boosting",
                code="unsupported",
            )
        self.model, self.estimator = self.numbers(count)
        self.predicts_numbers = True

    @torch.no_grad()
    def fit_numbers_(
        self,
        features: NDArray[np.floating],
        target: NDArray[np.float64],
        weights: NDArray[np.float64],
        *,
        seed: int = 0,
    ) -> None:
        r"""Learn numbers from rows: each of the K by itself, by the least

        .. math:: \sum_i w_{ik} (f_k(x_i) - y_{ik})^2

        and what the estimator adds to it.

        Args:
            features: [N, F].
            target: [N, K]; read where the weight is above 0.
            weights: [N, K], at least 0.
            seed: of the estimator.

        Raises:
            ArgumentError: if a number that counts is not finite, a column has none that counts, or the model cannot say
                what the estimator predicts.
        """
        assert self.predicts_numbers
        assert self.estimator is not None
        self._take(fit_numbers(partial(self.estimator, seed), features, target, weights))

    @torch.no_grad()
    def fit_(
        self,
        features: NDArray[np.floating] | csr_matrix,
        shares: NDArray[np.float64],
        *,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Learn from rows.

        Args:
            features: [N, F].
            shares: how much of each class a row is, at least 0, [N, C]. Of a row of zeros the features alone are read.
            temperature: of the softmax that gave the shares; the logits are for 1.
            seed: of the estimator.

        Raises:
            ArgumentError: if a share is negative or not finite, all are 0, or the model cannot say what the estimator
                predicts.
        """
        if not (np.isfinite(shares) & (shares >= 0)).all():
            raise ArgumentError(
                "SklearnModule: a share is negative or not finite; look at the outputs of the teacher", path="shares"
            )
        if self.scaling is not None:
            counts = csr_matrix(features)
            self.scaling.fit_(counts)
            features = _scaled_rows(counts, self.scaling)
        used = np.flatnonzero(shares.sum(1))
        if not len(used):
            raise ArgumentError(
                f"SklearnModule: none of the {len(shares)} rows belongs to a class; give at least one that does",
                code="missing",
                path="shares",
            )
        assert self.estimator is not None
        found = fit_classifier(self.estimator(seed), features[used], shares[used])
        self._take(found)
        self.temperature.fill_(temperature)

    def _take(self, learned: nn.Module) -> None:
        if isinstance(self.model, Trees):
            assert isinstance(learned, Trees)
            self.model.take(learned)
        else:
            self.model.load_state_dict(learned.state_dict())


def _scaled_rows(counts: csr_matrix, scaling: TfIdf) -> csr_matrix:
    """What `TfIdf.forward` gives, without a zero written out."""
    from sklearn.preprocessing import normalize

    return csr_matrix(normalize(counts.multiply(scaling.rarity.cpu().numpy()).tocsr()))


def sklearn_part(model: nn.Module) -> SklearnModule | None:
    """The part of a model that is fitted at once; None if it has none.

    >>> sklearn_part(nn.Linear(2, 2)) is None
    True
    """
    return next((module for module in model.modules() if isinstance(module, SklearnModule)), None)


def predict_numbers_(model: nn.Module, count: int) -> nn.Module:
    """The same model; one that is fitted at once predicts so many numbers from now on, in place of logits.

    Raises:
        ArgumentError: if it is one of classes alone.

    >>> net = nn.Linear(2, 3)
    >>> predict_numbers_(net, 3) is net
    True
    """
    part = sklearn_part(model)
    if part is not None and not part.predicts_numbers:
        part.predict_numbers_(count)
    return model
