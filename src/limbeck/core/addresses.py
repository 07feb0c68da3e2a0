"""The board of one training step, and the addresses by which terms and teachers read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from limbeck.core.ragged import Ragged
from limbeck.errors import AddressError, ArgumentError, suggest

__all__ = [
    "Address",
    "Board",
    "Inputs",
    "Outputs",
    "addresses_of",
    "check_name",
    "map_rows",
    "map_tensors",
    "parameter_path",
    "resolve",
    "resolve_inputs",
    "row_count",
    "rows_of",
    "source_of",
    "tensors",
]

Outputs: TypeAlias = Mapping[str, Any]
Board: TypeAlias = Mapping[str, Outputs]
Address: TypeAlias = str
Inputs: TypeAlias = Address | Mapping[str, Address]

_name = re.compile(r"[a-z][a-z0-9_]*")


def check_name(kind: str, name: str) -> str:
    """Refuse a name of a term, student, teacher or tap that an address could not hold.

    Raises:
        ArgumentError: if the name does not match ``[a-z][a-z0-9_]*``.
    """
    if not isinstance(name, str) or not _name.fullmatch(name):
        raise ArgumentError(
            f"the {kind} name {name!r} must match [a-z][a-z0-9_]*: a small letter, then a-z, 0-9 or _",
            path=f"{kind}s.{name}",
        )
    return name


def source_of(address: Address) -> str:
    """The first part of an address: who produced what it names.

    >>> source_of("teacher.hidden_states.3")
    'teacher'
    """
    return address.partition(".")[0]


def parameter_path(address: Address) -> str | None:
    """The path of the parameter that an address names, or None if it names something else.

    >>> parameter_path("student.parameters.conv.weight"), parameter_path("student.logits")
    ('conv.weight', None)
    """
    source, _, key = address.partition(".")
    kind, _, path = key.partition(".")
    return path if kind == "parameters" and path and source != "batch" else None


def resolve(board: Board, address: Address) -> Any:
    """What stands on the board at an address.

    A part of an address is a key of a mapping or a position in a sequence. The longest key that matches wins, so a key
    may hold dots itself: ``"student.hidden_states.3"`` reads the key ``"hidden_states.3"`` where there is one, else the
    fourth of ``"hidden_states"``.

    Raises:
        AddressError: if there is nothing; the message names what is known at the place where the search ended.

    >>> board = {"batch": {"inputs": {"mask": 1}}, "student": {"hidden_states": ("a", "b")}}
    >>> resolve(board, "batch.inputs.mask"), resolve(board, "student.hidden_states.1")
    (1, 'b')
    """
    # Nearly every address is a source and one key: this runs for each argument of each term in every step.
    source, _, key = address.partition(".")
    if source in board and key in board[source]:
        return board[source][key]
    place: Any = board
    parts = address.split(".")
    done = 0
    while done < len(parts):
        step = _longest(place, parts[done:])
        if step is None:
            raise AddressError(_nothing(place, parts, done), code="unknown_name", path=".".join(parts))
        place, used = step
        done += used
    return place


def addresses_of(inputs: Inputs) -> tuple[Address, ...]:
    """Every address of what a model is fed: one, or those of its arguments.

    >>> addresses_of("batch.inputs"), addresses_of({"real": "batch.inputs", "fake": "generator.images"})
    (('batch.inputs',), ('batch.inputs', 'generator.images'))
    """
    return (inputs,) if isinstance(inputs, str) else tuple(inputs.values())


def resolve_inputs(board: Board, inputs: Inputs) -> Any:
    """What a model is fed: what stands at its one address, or a mapping of its arguments.

    >>> board = {"batch": {"inputs": 1}, "generator": {"images": 2}}
    >>> resolve_inputs(board, "batch.inputs"), resolve_inputs(board, {"fake": "generator.images"})
    (1, {'fake': 2})
    """
    if isinstance(inputs, str):
        return resolve(board, inputs)
    return {argument: resolve(board, address) for argument, address in inputs.items()}


def rows_of(batch: Outputs) -> int:
    """The number of rows of a batch: of its ``row``, else of the first of its ``inputs``, else of its first tensor.

    Raises:
        AddressError: if the batch holds no tensor.

    >>> rows_of({"weights": Tensor([1.0, 2.0]), "inputs": {"pixels": Tensor([[0.0], [1.0], [2.0]])}})
    3
    """
    for part in (batch.get("row"), batch.get("inputs"), batch):
        rows = row_count(part)
        if rows is not None:
            return rows
    raise AddressError(f"the batch holds no tensor; its keys are {sorted(batch)}", code="missing", path="batch")


def row_count(value: Any) -> int | None:
    """The number of rows of the first tensor or `Ragged` with rows in a value; None if it holds none.

    >>> row_count({"scale": Tensor([1.0]).sum(), "boxes": Ragged.of([Tensor([1.0, 2.0]), Tensor([3.0])])})
    2
    """
    if isinstance(value, Ragged) or (isinstance(value, Tensor) and value.ndim):
        return len(value)
    if isinstance(value, Mapping | tuple | list):
        parts = value.values() if isinstance(value, Mapping) else value
        return next((rows for rows in map(row_count, parts) if rows is not None), None)
    return None


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a value, which may be a tensor itself, or nest mappings, tuples and lists.

    >>> [tensor.item() for tensor in tensors({"a": Tensor([1.0]), "b": (Tensor([2.0]), None)})]
    [1.0, 2.0]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Ragged):
        yield from (value.values, value.offsets)
    elif isinstance(value, Mapping | tuple | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(part)


def map_tensors(value: Any, change: Callable[..., Tensor], *arguments: Any) -> Any:
    """The value with every tensor in it changed; it may nest mappings, tuples and lists.

    The values of a `Ragged` are changed, and their number must stay; use `map_rows` to select rows.

    >>> map_tensors([Tensor([1.0]), "a"], Tensor.add, 1)
    [tensor([2.]), 'a']
    """
    if isinstance(value, Tensor):
        return change(value, *arguments)
    if isinstance(value, Ragged):
        return value.map(change, *arguments)
    return _map_parts(value, map_tensors, change, arguments)


def map_rows(value: Any, change: Callable[..., Any], *arguments: Any) -> Any:
    """The value with everything in it changed that has rows: tensors and `Ragged`, as a whole.

    >>> import operator
    >>> map_rows([Tensor([1.0, 2.0]), Ragged.of([Tensor([3.0, 4.0]), Tensor([5.0])])], operator.getitem, slice(1))
    [tensor([1.]), Ragged(values=tensor([3., 4.]), offsets=tensor([0, 2]))]
    """
    if isinstance(value, Tensor | Ragged):
        return change(value, *arguments)
    return _map_parts(value, map_rows, change, arguments)


def _map_parts(
    value: Any, map_value: Callable[..., Any], change: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    if isinstance(value, Mapping):
        return {key: map_value(part, change, *arguments) for key, part in value.items()}
    if isinstance(value, tuple | list):
        parts = [map_value(part, change, *arguments) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _longest(place: Any, parts: list[str]) -> tuple[Any, int] | None:
    if isinstance(place, Mapping):
        for used in range(len(parts), 0, -1):
            key = ".".join(parts[:used])
            if key in place:
                return place[key], used
    elif isinstance(place, Sequence) and not isinstance(place, str) and parts[0].isdecimal():
        position = int(parts[0])
        if position < len(place):
            return place[position], 1
    return None


def _nothing(place: Any, parts: list[str], done: int) -> str:
    where, missing = ".".join(parts[:done]), ".".join(parts[done:])
    address = ".".join(parts)
    if not isinstance(place, Mapping):
        return f"nothing at {address!r}: {where!r} is a {type(place).__name__}, which has no {missing!r}"
    if not where:
        return f"no source {parts[0]!r}.{suggest(parts[0], place)}"
    return f"nothing at {address!r}: {where!r} has no {missing!r}.{suggest(missing, place)}"
