"""A teacher whose outputs were computed before training."""

from __future__ import annotations

from typing import Any

from limbeck.core import Address, Board, Outputs, resolve
from limbeck.core.addresses import check_name
from limbeck.errors import AddressError
from limbeck.registry import register

__all__ = ["Cached"]


@register("teacher", "cached")
class Cached:
    """Hands over the outputs that the loader has read from a cache into ``batch.cached.<name>``.

    They stand at the addresses at which the live teacher's would, so no term changes: ``maps.0``, ``maps.1`` and so on,
    which a cache holds one by one, stand as the tuple ``maps`` too.

    Args:
        name: of the teacher, as `limbeck.cache.CachedRows` knows it.

    Raises:
        ArgumentError: if the name cannot stand in an address.

    Recipe: ``cache: {codec: float16}``.

    >>> import torch
    >>> batch = {"cached": {"teacher": {"logits": torch.zeros(4, 10)}}}
    >>> Cached("teacher")({"batch": batch})["logits"].shape
    torch.Size([4, 10])
    """

    def __init__(self, name: str = "teacher") -> None:
        self.name = check_name("teacher", name)

    @property
    def reads(self) -> tuple[Address, ...]:
        return (f"batch.cached.{self.name}",)

    def __call__(self, board: Board) -> Outputs:
        try:
            outputs: Outputs = resolve(board, self.reads[0])
        except AddressError as error:
            raise AddressError(
                f"{error} The loader reads it there: batch['cached'] = CachedRows(…)(row, view)",
                code=error.code,
                path=error.path,
            ) from error
        return {**outputs, **_tuples(outputs)}


def _tuples(outputs: Outputs) -> dict[str, tuple[Any, ...]]:
    numbered: dict[str, dict[int, Any]] = {}
    for key, value in outputs.items():
        name, _, number = key.rpartition(".")
        if name and number.isdecimal():
            numbered.setdefault(name, {})[int(number)] = value
    # With one left out, the others would move to its place.
    return {
        name: tuple(parts[number] for number in range(len(parts)))
        for name, parts in numbered.items()
        if parts.keys() == set(range(len(parts)))
    }
