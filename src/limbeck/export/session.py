"""An exported file, run by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import ArgumentError, ExportError

__all__ = ["Session"]

Given: TypeAlias = NDArray[Any] | Tensor

_types: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(int64)": np.dtype(np.int64)}

# On a CPU its operator takes several times as long as the sum and the normalization that it replaces.
slower_fusions: Final = ["SkipLayerNormFusion"]


@dataclass(frozen=True)
class _Input:
    """What a file takes under one name."""

    name: str
    shape: tuple[int | str, ...]
    type: np.dtype[Any]

    def array(self, given: Given) -> NDArray[Any]:
        array = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
        fits = len(array.shape) == len(self.shape) and all(
            isinstance(wanted, str) or wanted == found for wanted, found in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype.kind != self.type.kind or not fits:
            kind = "floating numbers in 0..1" if self.type.kind == "f" else "whole numbers"
            raise ArgumentError(
                f"Session: {self.name!r} is {array.dtype} of shape {list(array.shape)}; "
                f"expected {kind} of shape {['B', *self.shape[1:]]}"
            )
        return array.astype(self.type, copy=False)


@final
class Session:
    """An exported classifier on the CPU, without PyTorch's part in it.

    It stores ``classes`` (the name of each logit), ``metadata`` (all entries of the file), ``inputs`` (what it
    takes, by name) and ``threads``.

    Args:
        path: of a file by :func:`limbeck.export.export_onnx`.
        threads: that work on one batch; as many as torch uses, if None, so that both can be compared.

    Raises:
        ArgumentError: if threads is below 1.
        ExportError: if the file is missing, corrupt, or not one of ours.
    """

    def __init__(self, path: Path | str, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ArgumentError(f"Session: threads is {threads}; expected at least 1")
        if not Path(path).is_file():
            raise ExportError(f"ONNX file {path}: no such file")
        options = onnxruntime.SessionOptions()
        self.threads = torch.get_num_threads() if threads is None else threads
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=slower_fusions
            )
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            reason = str(error).partition("\n")[0]
            raise ExportError(f"ONNX file {path}: onnxruntime cannot load it ({reason}); export it again") from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [value.name for value in outputs] != ["logits"] or "classes" not in self.metadata:
            raise ExportError(
                f"ONNX file {path}: expected one output 'logits' and the metadata entry 'classes'; "
                "export it with limbeck"
            )
        self.classes: tuple[str, ...] = tuple(json.loads(self.metadata["classes"]))
        self.inputs = {value.name: _Input(value.name, tuple(value.shape), _types[value.type]) for value in inputs}

    def __call__(self, inputs: Given | Mapping[str, Given]) -> NDArray[np.float32]:
        """The logits of a batch.

        Args:
            inputs: what the file takes, by name, or alone where it takes one thing. Images are floating, in 0..1.

        Returns:
            Logits, float32 [B, classes].

        Raises:
            ArgumentError: if an input is missing, or of another type or shape than the file takes.
        """
        named = inputs if isinstance(inputs, Mapping) else {next(iter(self.inputs)): inputs}
        missing = [name for name in self.inputs if name not in named]
        if missing:
            raise ArgumentError(f"Session: the inputs are {list(named)}; the file takes {missing[0]!r} too")
        feed = {name: taken.array(named[name]) for name, taken in self.inputs.items()}
        logits: NDArray[np.float32] = self._session.run(["logits"], feed)[0]
        return logits
