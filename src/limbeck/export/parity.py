"""Whether an exported file computes what its model computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import TypeAlias

import numpy as np
from torch import Tensor, nn

from limbeck.core import logits_of, map_tensors, rows_of
from limbeck.errors import ArgumentError, ExportError
from limbeck.export.session import Session

__all__ = ["check_parity"]

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]

_CHUNK = 64


def check_parity(
    model: nn.Module, session: Session, inputs: Tensor | Iterable[Inputs], *, tolerance: float = 1e-4
) -> float:
    """Compare the logits of a file with those of its model in eval mode: max |Δ| over rows and classes.

    Rows go through the file in batches of 64, and the first of each batch once more alone. The largest difference that
    passes is tolerance · max(1, max |logit|): float32 sums in another order differ in proportion to their size.

    Args:
        model: as exported; a copy on the CPU is run, and the model is left as it is.
        session: of the exported file.
        inputs: real rows, at least one: images [N, C, H, W], float32 in 0..1, or batches of what the model takes.
        tolerance: above 0; relative for logits beyond 1, absolute below.

    Returns:
        The largest absolute difference of two logits.

    Raises:
        ArgumentError: if there are no rows, or the tolerance is not above 0.
        ExportError: if a difference is too large or a logit is not finite; the message has the difference and its row.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from limbeck.export import export_onnx
    >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(5, 1, 2, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.onnx")
    ...     export_onnx(model, path, example=images, classes=["cat", "dog"], metadata={})
    ...     check_parity(model, Session(path), images) < 1e-5
    True
    """
    if not tolerance > 0:
        raise ArgumentError(f"check_parity: tolerance is {tolerance}; expected a number above 0")
    model = copy.deepcopy(model).cpu().eval()
    largest, start = 0.0, 0
    for chunk in _chunks([inputs] if isinstance(inputs, Tensor) else inputs):
        expected = logits_of(model, {"inputs": chunk}).numpy()
        limit = tolerance * max(1.0, float(np.abs(expected).max()))
        for rows in (chunk, map_tensors(chunk, itemgetter(slice(1)))):
            logits = session(rows)
            with np.errstate(invalid="ignore"):  # ∞ − ∞ is refused below, with its row
                differences = np.abs(logits - expected[: len(logits)]).reshape(len(logits), -1).max(axis=1)
            row = int(differences.argmax())  # argmax and max find a NaN before any number
            largest = max(largest, float(differences[row]))
            if not differences[row] <= limit < math.inf:
                raise ExportError(
                    f"the exported file differs from its model by {differences[row]:.3g} in row {start + row} "
                    f"(batch of {len(logits)}); at most {limit:.3g} is allowed; do not ship it"
                )
        start += len(expected)
    if not start:
        raise ArgumentError("check_parity: there are no rows; give at least one")
    return largest


def _chunks(batches: Iterable[Inputs]) -> Iterator[Inputs]:
    for batch in batches:
        for start in range(0, rows_of({"inputs": batch}), _CHUNK):
            yield map_tensors(batch, lambda rows, start=start: rows[start : start + _CHUNK].cpu())
