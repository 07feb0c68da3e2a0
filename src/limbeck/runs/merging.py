"""The weighted mean of the weights of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from limbeck.errors import ArgumentError

__all__ = ["merge_weights"]


def merge_weights(models: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    r"""The mean of the tensors of several models, name by name.

    .. math:: \bar\theta = \frac{\sum_i w_i \theta_i}{\sum_i w_i}

    It is computed in float64. Tensors that are not floating, such as counters of batches, are those of the first model.

    Args:
        models: their tensors by name, the same names and shapes for all.
        weights: of each model, at least 0, not all 0.

    Raises:
        ArgumentError: if names, shapes or the number of weights do not agree, or a weight is negative.

    >>> merge_weights([{"a": torch.zeros(1)}, {"a": torch.ones(1)}], [1, 3])["a"].item()
    0.75

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas, 2017, "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS (the mean of clients, weighted by their number of rows).
    """
    if len(models) != len(weights) or not models or min(weights) < 0 or sum(weights) <= 0:
        raise ArgumentError(
            f"merge: {len(models)} models with the weights {list(weights)}; expected one weight per model, at least 0 "
            "and not all 0",
            path="weights",
        )
    shapes = [{name: value.shape for name, value in model.items()} for model in models]
    if any(other != shapes[0] for other in shapes):
        raise ArgumentError(
            "merge: the models differ in their tensors or shapes; expected the same architecture",
            code="mismatch",
            path="models",
        )
    return {name: _mean([model[name] for model in models], weights) for name in shapes[0]}


def _mean(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    first = values[0]
    if not first.is_floating_point():
        return first.clone()
    total = torch.zeros_like(first, dtype=torch.float64)
    for value, weight in zip(values, weights, strict=True):
        total += weight * value.double()
    return (total / sum(weights)).to(first.dtype)
