"""What a finished run leaves, as one flat mapping from paths to values.

Only the files that a run promises are read: the recipe, the results, the logged events, the weights and the exported
files. Costs, sizes of files and times differ from one run to the next and are left out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file

LEFT_OUT = {"cost", "bytes", "seconds"}
# The entry of a list is named by these keys where it has them, so that a new entry does not move the others.
IDENTITY = ("a", "b", "metric", "seed")
# A batch for an exported file: rows, and the length of every other axis that is free.
ROWS, LENGTH = 3, 6
SHOWN = 4  # values of each output, beside its digest


def record_run(folder: Path, work: Path) -> dict[str, dict[str, Any]]:
    """Sections ``recipe``, ``results``, ``events``, ``weights`` and ``outputs``, each from path to value.

    Args:
        folder: the finished run.
        work: the folder of its files, whose name is taken out of the values.
    """
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    _check_precision(dict(flatten(recipe)))
    record = {
        "recipe": dict(flatten(recipe)),
        "results": dict(flatten(results)),
        "events": events(folder),
        "weights": weights(folder),
        "outputs": outputs(folder),
    }
    return {name: {key: _relative(value, work) for key, value in part.items()} for name, part in record.items()}


def _check_precision(recipe: Mapping[str, Any]) -> None:
    others = [path for path, value in recipe.items() if path.endswith("precision") and value != "float32"]
    if others:
        raise ValueError(
            f"{others[0]}: expected float32, got {recipe[others[0]]}. Name the section in the case's trained"
        )


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists.

    A list without mappings is one leaf, so that a longer list is another value and not a new key.
    """
    if isinstance(value, dict) and value:
        items = [(str(key), part) for key, part in value.items() if key not in LEFT_OUT]
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        items = [(_name_of_entry(part, index), part) for index, part in enumerate(value)]
    else:
        yield path, value
        return
    for name, part in items:
        yield from flatten(part, f"{path}/{name}" if path else name)


def _name_of_entry(entry: Any, index: int) -> str:
    keys = [key for key in IDENTITY if key in entry] if isinstance(entry, dict) else []
    return ",".join(f"{key}={entry[key]}" for key in keys) or str(index)


def events(folder: Path) -> dict[str, Any]:
    """Everything logged at each step of each training, from however many files of events the run has."""
    steps: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            place = f"{event.pop('stage')}/seed={event.pop('seed')}/step={event.pop('step')}"
            _merge(steps.setdefault(place, {}), dict(flatten(event)), f"{file}, {place}")
    if not steps:
        raise ValueError(f"{folder} has no events: no *.jsonl file with a line in it")
    return {f"{place}/{name}": value for place, step in steps.items() for name, value in step.items()}


def _merge(step: dict[str, Any], event: Mapping[str, Any], place: str) -> None:
    """One step is logged in several lines, and may stand in the files of the training and of the run."""
    differing = [name for name, value in event.items() if name in step and step[name] != value]
    if differing:
        raise ValueError(f"{place}: {differing[0]} is logged twice, as {step[differing[0]]} and {event[differing[0]]}")
    step.update(event)


def weights(folder: Path) -> dict[str, str]:
    """Dtype, shape and digest of every tensor under ``models``."""
    files = sorted((folder / "models").glob("*/*.safetensors"))
    if not files:
        raise ValueError(f"{folder}/models has no weights")
    return {f"{file.parent.name}/{name}": _digest(value) for file in files for name, value in load_file(file).items()}


def outputs(folder: Path) -> dict[str, Any]:
    """Digest and first values of every output of the exported ONNX files, for drawn inputs."""
    record: dict[str, Any] = {}
    for file in sorted((folder / "export").rglob("*.onnx")):
        session = _session(file)
        inputs = session.get_inputs()
        values = session.run(None, {each.name: _draw(each, position) for position, each in enumerate(inputs)})
        for each, value in zip(session.get_outputs(), values, strict=True):
            record[f"{file.name}/{each.name}"] = _digest(value)
            record[f"{file.name}/{each.name}/first"] = value.ravel()[:SHOWN].tolist()
    return record


def _session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _draw(declared: Any, position: int) -> NDArray[Any]:
    """Values for one input of a file: images in 0..1, and token ids with the mask and positions that fit them."""
    free = [ROWS, *[LENGTH] * (len(declared.shape) - 1)]
    shape = tuple(size if isinstance(size, int) else chosen for size, chosen in zip(declared.shape, free, strict=True))
    generator = np.random.default_rng(position)
    if declared.type == "tensor(float)":
        return generator.random(shape, dtype=np.float32)
    if declared.type != "tensor(int64)":
        raise ValueError(f"input {declared.name}: expected float or int64, got {declared.type}")
    if "mask" in declared.name:
        return np.ones(shape, dtype=np.int64)
    if "token_type" in declared.name:
        return np.zeros(shape, dtype=np.int64)
    if declared.name == "words":
        return np.broadcast_to(np.arange(shape[-1], dtype=np.int64), shape).copy()
    return generator.integers(1, 16, shape)


def _digest(value: NDArray[Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"{value.dtype} {list(value.shape)} {digest}"


def _relative(value: Any, work: Path) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.replace(f"{work}/", "") if isinstance(value, str) else value
