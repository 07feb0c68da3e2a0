"""An exported file with its weights in 8 bits."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from limbeck.errors import ExportError
from limbeck.files import atomic

__all__ = ["quantize_int8"]

_products = ("MatMul", "LSTM")
_made = ("MatMulInteger", "DynamicQuantizeLSTM")


def quantize_int8(source: Path, target: Path) -> None:
    """Write a copy of an exported file that computes matrix products and LSTMs in 8 bits.

    Weights and tables of embeddings are stored as int8, those of products with one scale for each output; activations
    are quantized when it runs, to uint8, by the range of each batch. Convolutions stay as they are: in this way they
    are slower. Weights use 7 of the 8 bits, so that no processor's products overflow.

    Args:
        source: of `limbeck.export.export_onnx`.
        target: the file to write, whole or not at all; `limbeck.export.Session` runs it.

    Raises:
        ExportError: if the graph has no such product of weights, or onnxruntime cannot quantize it.

    >>> import torch
    >>> from torch import nn
    >>> from limbeck.export import Session, export_onnx
    >>> model, rows = nn.Linear(4, 2), torch.rand(3, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, small = Path(folder, "model.onnx"), Path(folder, "small.onnx")
    ...     export_onnx(model, path, example=rows, outputs={"scores": ("batch",)}, metadata={})
    ...     quantize_int8(path, small)
    ...     difference = abs(Session(small)(rows)["scores"] - Session(path)(rows)["scores"]).max()
    >>> bool(0 < difference < 0.05)
    True
    """
    with tempfile.TemporaryDirectory() as folder:
        graph = _folded(source, Path(folder, "folded.onnx"))
        small = Path(folder, "small.onnx")
        try:
            with _quiet():
                _quantize(graph, small)
        except Exception as error:  # onnxruntime's and onnx's exceptions have no base class of their own
            reason = str(error).partition("\n")[0]
            raise ExportError(
                f"INT8 of {source}: onnxruntime cannot quantize it ({reason})", code="failed", path=source
            ) from error
        if not any(node.op_type in _made for node in onnx.load(small).graph.node):
            raise ExportError(
                f"INT8 of {source}: it has neither a matrix product with weights nor an LSTM; leave int8 out "
                "of formats",
                code="no_effect",
                path=source,
            )
        with atomic(target) as beside:
            beside.write_bytes(small.read_bytes())


def _folded(source: Path, target: Path) -> Any:
    """The graph with everything computed that no input changes: an LSTM's weights come out as one table."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(target)
    # Shapes of weights that are about to be laid out differently.
    del graph.graph.value_info[:]
    return graph


def _quantize(graph: Any, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        graph,
        target,
        op_types_to_quantize=[*_products, "Gather"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    # It advises to fold the graph first, on the root logger.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
