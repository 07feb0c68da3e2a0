"""The numbers that a student is fitted to at once: those of all terms, as one target with one weight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.core import Board, Term, resolve

__all__ = ["mixed_numbers", "numbers_of_term"]


def numbers_of_term(term: Term, board: Board) -> Tensor:
    """The targets of one term on squared errors, float64 ``[B, K]``; NaN where the term does not count a number.

    Raises:
        ArgumentError: if an address or the mask of the term cannot be read.
    """
    target: Tensor = resolve(board, term.inputs["target"])
    counted = term.counted(board["batch"], target.ndim)
    numbers = target.double()
    if counted is not None:
        numbers = numbers.where(counted.reshape(*counted.shape, *[1] * (numbers.ndim - counted.ndim)), torch.nan)
    rows: Tensor = numbers.reshape(len(numbers), -1).cpu()
    return rows


def mixed_numbers(
    targets: Mapping[str, Tensor], weights: Mapping[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""All terms as one squared error: the target of each number, and its weight.

    A term counts as in a training step: it is a mean over the :math:`n_k` numbers that it counts. With the weights
    :math:`w_k` and :math:`m_{ki}`, 1 where term k counts number i and 0 elsewhere,

    .. math::
        \sum_k \frac{w_k}{n_k} \sum_i m_{ki} (f_i - t_{ki})^2 = \sum_i a_i (f_i - \bar t_i)^2 + \text{const},
        \qquad a_i = \sum_k \frac{w_k}{n_k} m_{ki}, \quad \bar t_i = \frac{1}{a_i} \sum_k \frac{w_k}{n_k} m_{ki} t_{ki}

    Args:
        targets: of each term, ``[N, K]``, NaN where it does not count a number.
        weights: of each term.

    Returns:
        The targets, ``[N, K]``, 0 where no term counts a number, and the weights, ``[N, K]``, whose mean over the
        numbers that count is 1 in each column.

    >>> labels, teacher = torch.tensor([[1.0], [torch.nan]]), torch.tensor([[3.0], [5.0]])
    >>> target, weight = mixed_numbers({"hard": labels, "soft": teacher}, {"hard": 0.5, "soft": 1.0})
    >>> target.ravel().tolist(), weight.ravel().tolist()
    ([2.0, 5.0], [1.3333333333333333, 0.6666666666666666])
    """
    whole = sums = np.zeros(())
    for name, values in targets.items():
        counted = ~values.isnan().numpy()
        weight = weights[name] / max(int(counted.sum()), 1) * counted
        whole = whole + weight
        sums = sums + weight * values.nan_to_num().numpy()
    used = whole > 0
    target = np.divide(sums, whole, out=np.zeros_like(whole), where=used)
    total = whole.sum(axis=0)
    return target, whole * np.divide(used.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
