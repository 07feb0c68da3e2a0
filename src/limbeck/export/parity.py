"""Whether an exported file computes what its model computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.core import call_model, map_rows, rows_of
from limbeck.errors import ArgumentError, ExportError
from limbeck.export.delivery import Parity
from limbeck.export.session import Session

__all__ = ["check_parity"]

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_CHUNK = 64


class _Difference(NamedTuple):
    value: float
    limit: float
    output: str = ""
    row: int = 0

    @property
    def passes(self) -> bool:
        return self.value <= self.limit < math.inf


def check_parity(
    model: nn.Module,
    session: Session,
    inputs: Tensor | Iterable[Inputs],
    *,
    tolerance: float = 1e-4,
    parity: Parity | None = None,
) -> float:
    """Compare the outputs of a file with those of its model in eval mode: max |Δ| over rows and entries of each output.

    Rows go through the file in batches of 64, and the first row of each batch once more alone. For each output, the
    largest difference that passes is tolerance · max(1, max |output|): float32 sums in another order differ in
    proportion to their size. Outputs of whole numbers must be equal.

    Args:
        model: as exported; a copy on the CPU is run, and the model is left as it is.
        session: of the exported file.
        inputs: real rows, at least one: one tensor of them, or batches of the inputs of the model.
        tolerance: above 0; relative for outputs beyond 1, absolute below.
        parity: another difference between the outputs of the model and those of the file, both by name and for the
            same rows; the largest value that passes is the tolerance.

    Returns:
        The largest difference over all batches and outputs.

    Raises:
        ArgumentError: if there are no rows, or the tolerance is not above 0.
        ExportError: if a difference is too large or an output is not finite; the message names the output and its row.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from limbeck.export import export_onnx
    >>> model, rows = nn.Linear(4, 2), torch.rand(5, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.onnx")
    ...     export_onnx(model, path, example=rows, outputs={"scores": ("batch",)}, metadata={})
    ...     check_parity(model, Session(path), rows) < 1e-5
    True
    """
    if not tolerance > 0:
        raise ArgumentError(f"check_parity: tolerance is {tolerance}; expected a number above 0", path="tolerance")
    model = copy.deepcopy(model).cpu().eval()
    largest, start = 0.0, 0
    for chunk in _chunks([inputs] if isinstance(inputs, Tensor) else inputs):
        expected = _outputs(model, chunk, session)
        count = rows_of({"inputs": chunk})
        for rows in (count, 1):
            found = session(_arrays(map_rows(chunk, itemgetter(slice(rows)))))
            for difference in _differences(expected, found, rows, tolerance, parity):
                largest = max(largest, difference.value)
                if not difference.passes:
                    raise ExportError(
                        f"the exported file differs from its model by {difference.value:.3g} in row "
                        f"{start + difference.row} (batch of {rows}){difference.output}; at most "
                        f"{difference.limit:.3g} is allowed; do not ship it",
                        code="mismatch",
                    )
        start += count
    if not start:
        raise ArgumentError("check_parity: there are no rows; give at least one", code="missing", path="rows")
    return largest


def _chunks(batches: Iterable[Inputs]) -> Iterator[Inputs]:
    for batch in batches:
        for start in range(0, rows_of({"inputs": batch}), _CHUNK):
            yield map_rows(batch, lambda rows, start=start: rows[start : start + _CHUNK].to("cpu"))


def _arrays(inputs: Inputs) -> Any:
    return map_rows(inputs, torch.Tensor.numpy)


@torch.inference_mode()
def _outputs(model: nn.Module, inputs: Inputs, session: Session) -> dict[str, NDArray[Any]]:
    given = call_model(model, inputs)
    named = given if isinstance(given, Mapping) else {session.main: given}
    return {name: named[name].numpy() for name in session.outputs}


def _differences(
    expected: Arrays, found: Arrays, rows: int, tolerance: float, parity: Parity | None
) -> Iterator[_Difference]:
    """The differences of the first rows."""
    if parity is not None:
        first = {name: values[:rows] for name, values in expected.items()}
        yield _Difference(float(parity(first, found)), tolerance)
        return
    for name, values in expected.items():
        yield _difference(name, values, found[name], rows, tolerance)


def _difference(name: str, values: NDArray[Any], found: NDArray[Any], rows: int, tolerance: float) -> _Difference:
    limit, first = 0.0, values[:rows]
    if found.shape != first.shape:
        raise ExportError(
            f"the exported file gives {name!r} of shape {found.shape}, its model {first.shape}",
            code="mismatch",
            path=name,
        )
    if values.dtype.kind == "f":
        limit = tolerance * max(1.0, float(np.abs(values).max(initial=0.0)))
    else:
        first, found = first.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ does not pass, and is reported with its row
        by_row = np.abs(found - first).reshape(rows, math.prod(first.shape[1:])).max(axis=1, initial=0.0)
    row = int(by_row.argmax())  # argmax and max find a NaN before any number
    return _Difference(float(by_row[row]), limit, f" of {name!r}", row)
