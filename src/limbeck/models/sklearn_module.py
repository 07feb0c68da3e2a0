"""A model that is fitted at once, in place of many steps along a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.soft_labels import fit_classifier
from limbeck.models.text.word_counts import TfIdf
from limbeck.models.trees import Trees

__all__ = ["SklearnModule", "sklearn_part"]


class SklearnModule(nn.Module):
    """What a classifier of scikit-learn has learnt, as a module from features [B, F] to logits [B, C].

    Args:
        model: ``nn.Linear`` or `Trees`, large enough for what the estimator learns.
        estimator: makes the estimator, of scikit-learn, from a seed.
        scaling: what changes the features first.

    >>> from sklearn.linear_model import LogisticRegression
    >>> net = SklearnModule(nn.Linear(2, 2), lambda seed: LogisticRegression(random_state=seed))
    >>> net.fit_(np.eye(2), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> net(torch.eye(2)).argmax(1)
    tensor([0, 1])
    """

    def __init__(
        self, model: nn.Linear | Trees, estimator: Callable[[int], Any], *, scaling: TfIdf | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.estimator = estimator
        self.scaling = scaling
        # A parameter, so that an objective can be tried by one step along a gradient, also where trees have none.
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.model(self._scaled(features))
        return logits * self.temperature

    def _scaled(self, features: Tensor) -> Tensor:
        return features if self.scaling is None else self.scaling(features)

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
        found = fit_classifier(self.estimator(seed), features[used], shares[used])
        if isinstance(self.model, Trees):
            assert isinstance(found, Trees)
            self.model.take(found)
        else:
            self.model.load_state_dict(found.state_dict())
        self.temperature.fill_(temperature)


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
