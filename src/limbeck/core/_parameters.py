"""Parameters of students and teachers as places on the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from limbeck.core.addresses import Address, Board, parameter_path, source_of
from limbeck.core.taps import Tapped
from limbeck.errors import ArgumentError, suggest

__all__ = ["ReadParameters"]


class ReadParameters:
    """Lays out what addresses such as ``student.parameters.conv.weight`` name, and nothing else.

    Args:
        addresses: all addresses that terms read; those that name no parameter are passed over.
        sources: students and teachers by name.

    Raises:
        ArgumentError: if a source shows no model, or its model has no such parameter.
    """

    def __init__(self, addresses: Iterable[Address], sources: Mapping[str, object]) -> None:
        self._wanted: dict[str, dict[str, str]] = {}
        for address in addresses:
            path = parameter_path(address)
            if path is not None:
                source = source_of(address)
                _check_path(address, path, _model(address, sources[source]))
                self._wanted.setdefault(source, {})[address.partition(".")[2]] = path

    def on(self, board: Board, sources: Mapping[str, object]) -> Board:
        """The board with these parameters on it; the outputs that were there stay as they are."""
        if not self._wanted:
            return board
        laid = dict(board)
        for source, wanted in self._wanted.items():
            model = _model(source, sources[source])
            laid[source] = {**board[source], **{key: _unsharded(model, path) for key, path in wanted.items()}}
        return laid


def _model(address: Address, source: object) -> nn.Module:
    model = source if isinstance(source, Tapped) else getattr(source, "model", None)
    while isinstance(model, Tapped):
        model = model.model
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"{address!r}: a {type(source).__name__} holds no model with parameters to read; use a Frozen teacher",
            code="unsupported",
            path=address,
        )
    return model


def _check_path(address: Address, path: str, model: nn.Module) -> None:
    known = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if path not in known:
        raise ArgumentError(
            f"{address!r}: the model has no parameter {path!r}.{suggest(path, known)}",
            code="unknown_name",
            path=address,
        )


def _unsharded(model: nn.Module, path: str) -> nn.Parameter:
    parameter = model.get_parameter(path)
    if hasattr(parameter, "full_tensor"):
        raise ArgumentError(
            f"parameter {path!r} is sharded over processes, so no term can read it; train with DistributedDataParallel",
            code="unsupported",
            path=path,
        )
    return parameter
