"""A model to one ONNX file that needs nothing beside it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from limbeck.core import called
from limbeck.errors import ArgumentError, ExportError
from limbeck.export.attention import with_plain_attention
from limbeck.export.gelu import with_fusible_gelu
from limbeck.files import atomic

__all__ = ["OPSET", "export_onnx"]

OPSET = 18
"""The ONNX operator set of exported files: the one that torch's translations are written for."""

_RESERVED = ("schema", "classes", "input")
_LARGEST = 2**31 - 1  # bytes of one protobuf message


def export_onnx(
    model: nn.Module,
    path: Path,
    *,
    example: Tensor | Mapping[str, Tensor],
    classes: Sequence[str],
    metadata: Mapping[str, str],
    axes: Sequence[str] | Mapping[str, Sequence[str]] = ("batch",),
    of_logits: Sequence[str] = ("batch",),
) -> None:
    """Write a model to one ONNX file, in eval mode, with its weights inside and any batch size.

    The graph takes ``image``, float32 [batch, C, H, W] in 0..1, or what the example names, and gives ``logits``,
    float32 [batch, classes], or with more axes where the model does. The file's metadata has ``schema`` ("1"),
    ``classes`` (a JSON list), ``input`` (what the graph takes, in words) and what the caller adds. The file appears
    whole or not at all. A copy on the CPU is exported, the model is left as it is.

    Args:
        model: turns images [B, C, H, W], or by keyword what the example names, into logits [B, len(classes)].
        path: of the file; a file that is there is replaced.
        example: images [B, C, H, W], float32, of which the first gives the shape; or what the model takes, by name.
        classes: the name of each logit.
        metadata: more entries, by key.
        axes: the names of the first axes of every input, or of each by its name; they may have any size. In the
            example, those after the batch have at least size 2.
        of_logits: the names of the axes of the logits before the classes.

    Raises:
        ArgumentError: if the example, the classes or the metadata cannot be right.
        ExportError: if the model cannot be translated, is larger than 2 GiB, or the file cannot be written.

    >>> import tempfile
    >>> from limbeck.export import Session
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.onnx")
    ...     export_onnx(model, path, example=torch.zeros(1, 1, 2, 2), classes=["cat", "dog"], metadata={"seed": "0"})
    ...     session = Session(path)
    >>> session.classes, session(torch.zeros(3, 1, 2, 2)).shape
    (('cat', 'dog'), (3, 2))
    """
    model = with_plain_attention(copy.deepcopy(model).cpu().eval())
    pair = _pair(example)
    model = _Positional(model, list(pair), alone=isinstance(example, Tensor)).eval()
    named = {name: axes[name] if isinstance(axes, Mapping) else axes for name in pair}
    _check(model, pair, classes, metadata, of_logits)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > _LARGEST:
        raise ExportError(f"export to {path}: the weights are {size} bytes; one ONNX file holds at most {_LARGEST}")
    graph = with_fusible_gelu(_translate(model, pair, path, named, of_logits))
    _strip(graph)
    described = "; ".join(_described(name, value, named[name]) for name, value in pair.items())
    entries = {"schema": "1", "classes": json.dumps(list(classes)), "input": described, **metadata}
    onnx.helper.set_model_props(graph, entries)
    onnx.checker.check_model(graph)
    _write(path, graph.SerializeToString())


class _Positional(nn.Module):
    """A model whose inputs come by position, as torch names them in a graph, and that gives logits alone."""

    def __init__(self, model: nn.Module, names: Sequence[str], *, alone: bool) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.alone = alone

    def forward(self, *inputs: Tensor) -> Any:
        given = called(self.model, inputs[0] if self.alone else dict(zip(self.names, inputs, strict=True)))
        return given["logits"] if isinstance(given, Mapping) else given


def _described(name: str, value: Tensor, axes: Sequence[str]) -> str:
    kind = str(value.dtype).removeprefix("torch.")
    shape = ", ".join([*axes, *map(str, value.shape[len(axes) :])])
    return f"{name}: {kind} [{shape}]" + (", values in 0..1" if value.is_floating_point() else "")


def _pair(example: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(example, Tensor):
        if example.ndim != 4 or example.dtype != torch.float32 or not len(example):
            raise ArgumentError(
                f"export_onnx: example is {example.dtype} of shape {list(example.shape)}; "
                "expected float32 images [B, C, H, W], at least one"
            )
        example = {"image": example}
    # A batch of 1 can be taken for a constant by torch.export, so the example is always a batch of 2.
    return {name: torch.cat([value[:1]] * 2).detach().cpu() for name, value in example.items()}


def _check(
    model: nn.Module,
    pair: Mapping[str, Tensor],
    classes: Sequence[str],
    metadata: Mapping[str, str],
    of_logits: Sequence[str],
) -> None:
    taken = [key for key in metadata if key in _RESERVED]
    if taken:
        raise ArgumentError(f"export_onnx: the metadata has {taken[0]!r}, which is written already; choose another key")
    with torch.no_grad():
        logits = model(*pair.values())
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    behind = list(logits.shape[1:-1]) if isinstance(logits, Tensor) else []
    if shape != [2, *behind, len(classes)] or len(behind) != len(of_logits) - 1:
        raise ArgumentError(
            f"export_onnx: the model gives {shape} for 2 rows and {len(classes)} class names; "
            f"expected logits of shape [2, {''.join(f'{name}, ' for name in of_logits[1:])}{len(classes)}]"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Without torchvision the exporter logs four operators that nothing here needs. Where it fails, it prints graphs to
    # the standard streams before it raises what says the same.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            for module in ("torch", "onnxscript", "onnx_ir", "copyreg"):
                warnings.filterwarnings("ignore", module=rf"{module}(\.|$)")
            # What torch deprecates of itself, in graphs that it has written as code.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _translate(
    model: _Positional,
    pair: Mapping[str, Tensor],
    path: Path,
    axes: Mapping[str, Sequence[str]],
    of_logits: Sequence[str],
) -> Any:
    sizes = {name: torch.export.Dim(name) for names in axes.values() for name in names}
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                tuple(pair.values()),
                dynamo=True,
                verbose=False,
                input_names=list(pair),
                output_names=["logits"],
                dynamic_shapes=(tuple({place: sizes[name] for place, name in enumerate(axes[one])} for one in pair),),
                opset_version=OPSET,
                external_data=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ExportError(
            f"export to {path}: torch cannot translate {type(model.model).__name__} ({reason})"
        ) from error
    assert program is not None
    graph = program.model_proto
    named = [*((value, axes[value.name]) for value in graph.graph.input), (graph.graph.output[0], of_logits)]
    fixed = [
        name
        for value, names in named
        for name, size in zip(names, value.type.tensor_type.shape.dim, strict=False)
        if size.dim_param != name
    ]
    if fixed:
        raise ExportError(
            f"export to {path}: {type(model.model).__name__} works for one {fixed[0]} size only; "
            "mend its forward, which must not write the number of rows into a shape"
        )
    return graph


def _strip(graph: Any) -> None:
    # The exporter notes at each node the source lines it came from: a third of a small file, and paths of the machine.
    for node in graph.graph.node:
        del node.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        del value.metadata_props[:]
    del graph.graph.metadata_props[:]


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise ExportError(f"export to {path}: cannot write {len(content)} bytes ({error.strerror or error})") from error
