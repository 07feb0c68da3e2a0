"""An exported file, run by onnxruntime. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from limbeck.errors import ArgumentError, ExportError

__all__ = ["Session", "TensorInfo"]

_dtypes: Final[Mapping[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(bool)": np.dtype(np.bool_),
}

# On a CPU its operator takes several times as long as the sum and the normalization that it replaces.
slower_fusions: Final = ["SkipLayerNormFusion"]


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output of a file.

    Args:
        name: of the tensor.
        shape: the length of each axis, or the name of one that may have any length.
        dtype: of the values.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]

    def accepts(self, array: NDArray[Any]) -> bool:
        """Whether an array has this shape and the same kind of values."""
        return (
            array.dtype.kind == self.dtype.kind
            and len(array.shape) == len(self.shape)
            and all(isinstance(want, str) or want == size for want, size in zip(self.shape, array.shape, strict=True))
        )

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


@final
class Session:
    """An exported file on the CPU, from NumPy arrays to NumPy arrays.

    Attributes:
        inputs: the inputs of the file, by name.
        outputs: the outputs of the file, by name.
        main: the name of the first output, the main one.
        names: for tensors with a named last axis, the names of its entries, such as the classes of logits.
        metadata: all metadata entries of the file.
        threads: the number of threads.

    Args:
        path: of a file by :func:`limbeck.export.export_onnx`.
        threads: the number of threads that work on one batch.

    Raises:
        ArgumentError: if threads is below 1.
        ExportError: if the file is missing, corrupt, or was not exported with limbeck.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        if threads < 1:
            raise ArgumentError(f"Session: threads is {threads}; expected at least 1", path="threads")
        self.threads = threads
        self._session = _opened(Path(path), threads)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if "schema" not in self.metadata:
            raise ExportError(
                f"ONNX file {path}: there is no metadata entry 'schema'; export it with limbeck",
                code="changed",
                path=path,
            )
        self.inputs = {value.name: _info(value) for value in self._session.get_inputs()}
        self.outputs = {value.name: _info(value) for value in self._session.get_outputs()}
        self.main = next(iter(self.outputs))
        self.names = _names(self.metadata, self.main)

    def __call__(self, inputs: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """The outputs of a batch, by name.

        Args:
            inputs: by name; a file with one input also takes it alone. Values are cast to the precision of the file.

        Raises:
            ArgumentError: if an input is missing, or has another type or shape than the file expects.
        """
        named = inputs if isinstance(inputs, Mapping) else {next(iter(self.inputs)): inputs}
        missing = [name for name in self.inputs if name not in named]
        if missing:
            raise ArgumentError(
                f"Session: the inputs are {list(named)}; the file takes {missing[0]!r} too",
                code="missing",
                path=missing[0],
            )
        feed = {info.name: self._checked(info, np.asarray(named[info.name])) for info in self.inputs.values()}
        return dict(zip(self.outputs, self._session.run(list(self.outputs), feed), strict=True))

    def _checked(self, info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
        if not info.accepts(array):
            described = self._descriptions().get(info.name, str(info))
            raise ArgumentError(
                f"Session: {info.name!r} is {array.dtype} of shape {list(array.shape)}; expected {described}",
                code="wrong_shape",
                path=info.name,
            )
        return array.astype(info.dtype, copy=False)

    def _descriptions(self) -> dict[str, str]:
        parts = (part.partition(": ") for part in self.metadata.get("input", "").split("; "))
        return {name: text for name, _, text in parts}


def _opened(path: Path, threads: int) -> Any:
    if not path.is_file():
        raise ExportError(f"ONNX file {path}: no such file", code="not_found", path=path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=slower_fusions
        )
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        reason = str(error).partition("\n")[0]
        raise ExportError(
            f"ONNX file {path}: onnxruntime cannot load it ({reason}); export it again", code="unreadable", path=path
        ) from error


def _info(value: Any) -> TensorInfo:
    if value.type not in _dtypes:
        raise ExportError(
            f"ONNX file: {value.name!r} is a {value.type}; expected one of {', '.join(_dtypes)}",
            code="unsupported",
            path=value.name,
        )
    return TensorInfo(value.name, tuple(value.shape), _dtypes[value.type])


def _names(metadata: Mapping[str, str], main: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = json.loads(metadata.get("names", "{}"))
    if "classes" in metadata:
        found = {main: json.loads(metadata["classes"]), **found}
    return {name: tuple(names) for name, names in found.items()}
