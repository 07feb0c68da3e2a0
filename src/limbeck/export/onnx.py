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
from types import MappingProxyType
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from limbeck.core import call_model
from limbeck.errors import ArgumentError, ExportError, suggest
from limbeck.export.attention import with_plain_attention
from limbeck.export.gelu import with_fusible_gelu
from limbeck.files import atomic

__all__ = ["OPSET", "export_onnx"]

OPSET = 18
"""The ONNX operator set of exported files: the one that torch's translations are written for."""

_RESERVED = ("schema", "classes", "names", "input")
_LARGEST = 2**31 - 1  # bytes of one protobuf message
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def export_onnx(
    model: nn.Module,
    path: Path,
    *,
    example: Tensor | Mapping[str, Tensor],
    outputs: Mapping[str, Sequence[str]],
    metadata: Mapping[str, str],
    axes: Sequence[str] | Mapping[str, Sequence[str]] = ("batch",),
    names: Mapping[str, Sequence[str]] = _NOTHING,
    inputs: Mapping[str, str] = _NOTHING,
) -> None:
    """Write a model to one ONNX file, in eval mode, with its weights inside and any batch size.

    The metadata of the file has ``schema`` ("1"), ``input`` (each input with its type, shape and description),
    ``classes`` (a JSON list: the names of the last axis of the first output), ``names`` (a JSON object: those of other
    tensors), where there are any, and the entries of the caller. The file appears whole or not at all. A copy on the
    CPU is exported, the model is left as it is.

    Args:
        model: called with a tensor by position, or with named tensors by keyword; it returns one tensor, or a mapping
            that has all outputs.
        path: of the file; a file that is there is replaced.
        example: the input of the model, at least one row; a single tensor, or tensors by name. The first row gives the
            shapes.
        outputs: the first axes of each output, by its name: the batch, and further axes that may have any length, as
            long as that of the inputs with this name. The first output is the main one.
        metadata: further entries, by key.
        axes: the first axes of every input, likewise, or of each by its name. In the example, those after the batch
            have at least length 2.
        names: the names of the entries of the last axis, by output or input: the classes of logits, the columns of
            features.
        inputs: a description of each input, by its name. If the example is a single tensor, the only key is its name
            in the file; without a description it is called ``input``.

    Raises:
        ArgumentError: if the example, the outputs, the names or the metadata cannot be right.
        ExportError: if the model cannot be translated, is larger than 2 GiB, or the file cannot be written.

    >>> import tempfile
    >>> from limbeck.export import Session
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.onnx")
    ...     export_onnx(
    ...         model,
    ...         path,
    ...         example=torch.zeros(1, 1, 2, 2),
    ...         inputs={"image": "values in 0..1"},
    ...         outputs={"logits": ("batch",)},
    ...         names={"logits": ("cat", "dog")},
    ...         metadata={"seed": "0"},
    ...     )
    ...     session = Session(path)
    >>> session.names["logits"], session(torch.zeros(3, 1, 2, 2).numpy())["logits"].shape
    (('cat', 'dog'), (3, 2))
    """
    model = with_plain_attention(copy.deepcopy(model).cpu().eval())
    pair = _pair(example, inputs)
    model = _Positional(model, list(pair), list(outputs), alone=isinstance(example, Tensor)).eval()
    input_axes = {name: axes[name] if isinstance(axes, Mapping) else axes for name in pair}
    _check_names(pair, outputs, names, metadata)
    with torch.no_grad():
        _check_outputs(model(*pair.values()), outputs, names)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > _LARGEST:
        raise ExportError(
            f"export to {path}: the weights are {size} bytes; one ONNX file holds at most {_LARGEST}",
            code="unsupported",
            path=path,
        )
    graph = with_fusible_gelu(_translate(model, pair, path, {**input_axes, **outputs}))
    _strip(graph)
    described = "; ".join(_described(name, value, input_axes[name], inputs) for name, value in pair.items())
    entries = {"schema": "1", **_names_metadata(names, next(iter(outputs))), "input": described, **metadata}
    onnx.helper.set_model_props(graph, entries)
    onnx.checker.check_model(graph)
    _write(path, graph.SerializeToString())


class _Positional(nn.Module):
    """A model whose inputs and outputs come by position, as torch names them in a graph."""

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str], *, alone: bool) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.outputs = outputs
        self.alone = alone

    def forward(self, *inputs: Tensor) -> tuple[Any, ...]:
        given = call_model(self.model, inputs[0] if self.alone else dict(zip(self.inputs, inputs, strict=True)))
        if not isinstance(given, Mapping):
            return (given,)
        missing = [name for name in self.outputs if name not in given]
        if missing:
            raise ArgumentError(
                f"export_onnx: the model gives no output {missing[0]!r}.{suggest(missing[0], given)}",
                code="unknown_name",
                path="outputs",
            )
        return tuple(given[name] for name in self.outputs)


def _pair(example: Tensor | Mapping[str, Tensor], inputs: Mapping[str, str]) -> dict[str, Tensor]:
    if isinstance(example, Tensor):
        if len(inputs) > 1:
            raise ArgumentError(
                f"export_onnx: example is one tensor, inputs describes {list(inputs)}; describe one",
                code="mismatch",
                path="inputs",
            )
        example = {next(iter(inputs), "input"): example}
    for name in inputs:
        if name not in example:
            raise ArgumentError(
                f"export_onnx: the example has no {name!r} to describe.{suggest(name, example)}",
                code="unknown_name",
                path="inputs",
            )
    for name, value in example.items():
        if not value.ndim or not len(value):
            raise ArgumentError(
                f"export_onnx: the example of {name!r} has no rows; give at least one", code="missing", path="example"
            )
    # A batch of 1 can be taken for a constant by torch.export, so the example is always a batch of 2.
    return {name: torch.cat([value[:1]] * 2).detach().cpu() for name, value in example.items()}


def _described(name: str, value: Tensor, axes: Sequence[str], inputs: Mapping[str, str]) -> str:
    kind = str(value.dtype).removeprefix("torch.")
    shape = ", ".join([*axes, *map(str, value.shape[len(axes) :])])
    return ", ".join([f"{name}: {kind} [{shape}]", *filter(None, [inputs.get(name)])])


def _names_metadata(names: Mapping[str, Sequence[str]], main: str) -> dict[str, str]:
    others = {name: list(entries) for name, entries in names.items() if name != main}
    return {
        **({"classes": json.dumps(list(names[main]))} if main in names else {}),
        **({"names": json.dumps(others)} if others else {}),
    }


def _check_names(
    pair: Mapping[str, Tensor],
    outputs: Mapping[str, Sequence[str]],
    names: Mapping[str, Sequence[str]],
    metadata: Mapping[str, str],
) -> None:
    if not outputs:
        raise ArgumentError("export_onnx: there are no outputs; name at least one", code="missing", path="outputs")
    taken = [key for key in metadata if key in _RESERVED]
    if taken:
        raise ArgumentError(
            f"export_onnx: the metadata has {taken[0]!r}, which is written already; choose another key",
            code="in_use",
            path="metadata",
        )
    both = [name for name in outputs if name in pair]
    if both:
        raise ArgumentError(
            f"export_onnx: {both[0]!r} is an input and an output; give it another name",
            code="duplicate",
            path="outputs",
        )
    for name, entries in names.items():
        if name not in outputs and name not in pair:
            raise ArgumentError(
                f"export_onnx: names has {name!r}.{suggest(name, [*outputs, *pair])}", code="unknown_name", path="names"
            )
        if name in pair and pair[name].shape[-1] != len(entries):
            raise ArgumentError(
                f"export_onnx: the example of {name!r} has {pair[name].shape[-1]} entries in its last axis, and there "
                f"are {len(entries)} names; give one name for each",
                code="mismatch",
                path="names",
            )


def _check_outputs(
    given: Sequence[Any], outputs: Mapping[str, Sequence[str]], names: Mapping[str, Sequence[str]]
) -> None:
    if len(given) != len(outputs):
        raise ArgumentError(
            f"export_onnx: the model gives one tensor; expected a mapping with {', '.join(outputs)}",
            code="wrong_type",
            path="model",
        )
    for (name, axes), value in zip(outputs.items(), given, strict=True):
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        fits = isinstance(value, Tensor) and value.shape[:1] == (2,) and value.ndim >= len(axes)
        if name not in names:
            expected = f"a tensor of shape [2, {', '.join([*axes[1:], '…'])}]"
        else:
            entries = names[name]
            expected = f"shape [2, {''.join(f'{axis}, ' for axis in axes[1:])}{len(entries)}]"
            fits = fits and value.ndim > len(axes) and value.shape[-1] == len(entries)
        if not fits:
            raise ArgumentError(
                f"export_onnx: the model gives {name!r} of shape {shape} for 2 rows; expected {expected}",
                code="wrong_shape",
                path="model",
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


def _translate(model: _Positional, pair: Mapping[str, Tensor], path: Path, axes: Mapping[str, Sequence[str]]) -> Any:
    sizes = {name: torch.export.Dim(name) for one in pair for name in axes[one]}
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                tuple(pair.values()),
                dynamo=True,
                verbose=False,
                input_names=list(pair),
                output_names=model.outputs,
                dynamic_shapes=(tuple({place: sizes[name] for place, name in enumerate(axes[one])} for one in pair),),
                opset_version=OPSET,
                external_data=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ExportError(
            f"export to {path}: torch cannot translate {type(model.model).__name__} ({reason})",
            code="unsupported",
            path=path,
        ) from error
    assert program is not None
    graph = program.model_proto
    for value in (*graph.graph.input, *graph.graph.output):
        for name, size in zip(axes[value.name], value.type.tensor_type.shape.dim, strict=False):
            if not size.dim_param or (name in sizes and size.dim_param != name):
                raise ExportError(
                    f"export to {path}: {type(model.model).__name__} works for one {name} size only; "
                    "mend its forward, which must not write the number of rows into a shape",
                    code="unsupported",
                    path=path,
                )
            # An axis that no input has is known to torch by a formula.
            size.dim_param = name
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
        raise ExportError(
            f"export to {path}: cannot write {len(content)} bytes ({error.strerror or error})",
            code="unwritable",
            path=path,
        ) from error
