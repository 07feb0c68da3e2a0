"""Modules that a student has from its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from torch import nn

from limbeck.errors import ArgumentError, suggest

__all__ = ["keep_frozen_", "share_"]

Model = TypeVar("Model", bound=nn.Module)


def share_(
    student: Model, teacher: nn.Module, modules: Mapping[str, str], *, mode: Literal["frozen", "tied"] = "frozen"
) -> Model:
    """Give modules of the student the weights of modules of the teacher; in place.

    ``"frozen"`` copies parameters and buffers, and freezes the copy: it requires no grad, and stays in eval mode, so
    that its running statistics stay the teacher's. ``"tied"`` makes the parameters of both the same objects, so that
    each model trains them, or none: a `Frozen` teacher freezes them in the student too. Buffers are copied, and each
    model has its own.

    The student's modules keep their places and names. To tie a module to another one of the same model, give that model
    twice.

    Args:
        student: the model to change.
        teacher: the model to take from; with ``"tied"``, its parameters are in the student afterwards.
        modules: path in the student -> path in the teacher; ``"head"``, ``"net.stage1"``.
        mode: ``"frozen"`` or ``"tied"``.

    Returns:
        The student.

    Raises:
        ArgumentError: if a path names no module, or two modules differ in the names or shapes of their weights.

    >>> student, teacher = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Sequential(nn.Linear(4, 2))
    >>> share_(student, teacher, {"1": "0"}, mode="tied")[1].weight is teacher[0].weight
    True
    """
    if mode not in ("frozen", "tied"):
        raise ArgumentError(f"share_: mode={mode!r}; it is 'frozen' or 'tied'", path="mode")
    found = []
    for mine, theirs in modules.items():
        own, other = _module(student, "student", mine), _module(teacher, "teacher", theirs)
        _check_same(mine, own, theirs, other)
        found.append((own, other))
    for own, other in found:
        own.load_state_dict(other.state_dict())
        if mode == "frozen":
            keep_frozen_(own)
        else:
            _tie(own, other)
    return student


def keep_frozen_(module: nn.Module) -> nn.Module:
    """Freeze a part of a student: it requires no grad, and runs in eval mode whatever mode the student is in."""
    module.requires_grad_(False).eval()
    module.register_forward_pre_hook(_StaysInEval())
    return module


class _StaysInEval:
    """A forward hook. An object rather than a closure: a deep copy or a pickle of the model takes it along."""

    def __call__(self, module: nn.Module, args: Any) -> None:
        if module.training:
            module.eval()


def _module(model: nn.Module, whose: str, path: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if path not in modules:
        raise ArgumentError(
            f"share_: the {whose} has no module {path!r}.{suggest(path, modules)}", code="unknown_name", path="modules"
        )
    return modules[path]


def _check_same(mine: str, own: nn.Module, theirs: str, other: nn.Module) -> None:
    shapes, expected = ({name: list(value.shape) for name, value in m.state_dict().items()} for m in (own, other))
    if shapes != expected:
        names = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise ArgumentError(
            f"share_: the student's {mine!r} and the teacher's {theirs!r} differ in {names[0]!r}: "
            f"{shapes.get(names[0], 'absent')} and {expected.get(names[0], 'absent')}; only equal modules can "
            "be shared",
            code="mismatch",
            path="modules",
        )
    if not expected:
        raise ArgumentError(
            f"share_: the teacher's {theirs!r} has no weights to share", code="no_effect", path="modules"
        )


def _tie(own: nn.Module, other: nn.Module) -> None:
    for name, parameter in other.named_parameters(remove_duplicate=False):
        parent, _, last = name.rpartition(".")
        setattr(own.get_submodule(parent), last, parameter)
