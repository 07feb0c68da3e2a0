"""A Distiller on disk as its student, the way the student's library has it, and a file with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limbeck.core import Distiller
from limbeck.errors import RunError
from limbeck.models import load_weights, save_weights

__all__ = ["load_student_folder", "save_student_folder"]

_rest = "distiller.safetensors"
_weights = "model.safetensors"


def save_student_folder(distiller: Distiller, folder: Path | str, state: Mapping[str, Tensor] | None = None) -> None:
    """Write the first student to a folder, and beside it ``distiller.safetensors`` with everything else.

    A Hugging Face model is written by its own ``save_pretrained``, so that ``from_pretrained(folder)`` loads it without
    limbeck; of another module, ``model.safetensors`` has the weights.

    Args:
        distiller: as it is trained.
        folder: made, if it is not there.
        state: its ``state_dict``, where that has to be gathered from several processes.

    >>> import tempfile
    >>> from limbeck.core import Term
    >>> from limbeck.losses import CrossEntropy
    >>> distiller = Distiller(nn.Linear(2, 2), {"hard": Term(CrossEntropy())})
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     save_student_folder(distiller, Path(parent, "a"))
    ...     load_student_folder(distiller, Path(parent, "a"))
    ...     sorted(path.name for path in Path(parent, "a").iterdir())
    ['distiller.safetensors', 'model.safetensors']
    """
    student, prefix = _student(distiller)
    state = distiller.state_dict() if state is None else state
    Path(folder).mkdir(parents=True, exist_ok=True)
    if _is_pretrained(student):
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        student.save_pretrained(folder, state_dict=own)
    else:
        save_weights(student, Path(folder, _weights))
    # Clones, as a file cannot hold one tensor under two names.
    others = {name: value.contiguous().clone() for name, value in state.items() if not name.startswith(prefix)}
    save_file(others, Path(folder, _rest))


def load_student_folder(distiller: Distiller, folder: Path | str) -> None:
    """Fill a Distiller from what `save_student_folder` has written.

    Raises:
        RunError: if a file is missing, or is of another student or other terms.
    """
    student, prefix = _student(distiller)
    file = Path(folder, _rest)
    if not file.is_file():
        raise RunError.at(
            folder, f"no {_rest}; give a folder that save_student_folder or the Trainer has written", code="not_found"
        )
    own = _pretrained_state(student, folder) if _is_pretrained(student) else _module_state(student, folder)
    try:
        distiller.load_state_dict({**load_file(file), **{prefix + name: value for name, value in own.items()}})
    except RuntimeError as error:
        raise RunError.at(
            folder, f"it is of another Distiller ({' '.join(str(error).split())})", code="mismatch"
        ) from error


def _student(distiller: Distiller) -> tuple[Any, str]:
    """The first student, and what stands before the names of its weights."""
    tapped = next(iter(distiller.students.values()))
    prefix = next(path for path, module in distiller.named_modules() if module is tapped.model)
    return tapped.model, f"{prefix}."


def _is_pretrained(student: nn.Module) -> bool:
    return hasattr(student, "save_pretrained")


def _module_state(student: nn.Module, folder: Path | str) -> Mapping[str, Tensor]:
    load_weights(student, Path(folder, _weights))
    return student.state_dict()


def _pretrained_state(student: Any, folder: Path | str) -> Mapping[str, Tensor]:
    try:
        loaded, info = type(student).from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except OSError as error:
        raise RunError.at(
            folder, f"no weights of a {type(student).__name__} ({str(error).splitlines()[0]})", code="unreadable"
        ) from error
    wrong = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if wrong:
        raise RunError.at(folder, f"it is of another model than the student: {wrong}", code="mismatch")
    state: Mapping[str, Tensor] = loaded.state_dict()
    return state
