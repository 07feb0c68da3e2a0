"""Weights from a file into a model, whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limbeck.errors import RunError

__all__ = ["load_weights", "save_weights"]

_SHOWN = 3


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Fill a model with the weights of a local file; a file that does not fit leaves the model untouched.

    Args:
        model: its ``state_dict`` says which names and shapes the file must have.
        path: a ``.safetensors`` file, in which weights that the model shares may stand once, or one of ``torch.save``
            that holds nothing but tensors (a state dict, or a mapping with one under ``state_dict`` or ``model``).
            Nothing is unpickled besides.

    Raises:
        RunError: if the file is missing, cannot be read, or its names or shapes are not the model's.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, f"{folder}/model.safetensors")
    ...     linear = nn.Linear(2, 1)
    ...     load_weights(linear, f"{folder}/model.safetensors")
    >>> linear(torch.ones(1, 2)).item()
    2.0
    """
    path = Path(path)
    expected = model.state_dict()
    weights = _with_shared(_read(path), expected)
    _check_names(path, expected, weights)
    for name, value in expected.items():
        found = weights[name].shape
        if value.shape != found:
            raise RunError(
                f"checkpoint {path}: {name} has shape {list(found)}, the model expects {list(value.shape)}; "
                "build the model with the options that the checkpoint was trained with",
                code="mismatch",
                path=path,
            )
    model.load_state_dict(weights)


def save_weights(model: nn.Module, path: Path | str) -> None:
    """Write the weights of a model to a ``.safetensors`` file; those that several of its modules share, once.

    Args:
        model: `load_weights` fills another one of the same kind from the file.
        path: of the file.

    >>> import tempfile
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> model[1].weight = model[0].weight
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, f"{folder}/model.safetensors")
    ...     sorted(load_file(f"{folder}/model.safetensors"))
    ['0.bias', '0.weight', '1.bias']
    """
    state = model.state_dict()
    save_file({name: state[name].contiguous() for name, first in _first_names(state).items() if name == first}, path)


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Of every name, the first one that stands for the same tensor."""
    seen: dict[tuple[Any, ...], str] = {}
    names = {}
    for name, value in state.items():
        place = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else (name,)
        names[name] = seen.setdefault(place, name)
    return names


def _with_shared(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights under all names that the model has for them."""
    firsts = {name: first for name, first in _first_names(expected).items() if name not in weights and first in weights}
    return {**weights, **{name: weights[first] for name, first in firsts.items()}}


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise RunError(
            f"checkpoint {path}: no such file; give the path of a local .safetensors or torch file",
            code="not_found",
            path=path,
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise RunError(
                f"checkpoint {path}: not a readable safetensors file ({_first_line(error)})",
                code="unreadable",
                path=path,
            ) from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\.")  # of old pickle protocols, which load or raise
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes fail in whichever operation they happen to spell
        raise RunError(
            f"checkpoint {path}: not a torch file of plain tensors ({_first_line(error)}); "
            "save model.state_dict(), or use safetensors",
            code="unreadable",
            path=path,
        ) from error
    return _state_dict(path, content)


def _state_dict(path: Path, content: Any) -> Mapping[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RunError(
            f"checkpoint {path}: expected names with tensors; save model.state_dict() into it",
            code="wrong_type",
            path=path,
        )
    return content


def _check_names(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing or unexpected:
        lists = [
            f"{kind} {_few(names)}" for kind, names in (("lacks", missing), ("has unexpected", unexpected)) if names
        ]
        raise RunError(
            f"checkpoint {path}: {' and '.join(lists)}; it is of another architecture or wrapped otherwise",
            code="mismatch",
            path=path,
        )


def _few(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
