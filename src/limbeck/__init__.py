"""Knowledge distillation and model compression for PyTorch, with a control for every run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.api import resume, run
    from limbeck.core import Distiller, Mean, StepOutput, Tapped, Term
    from limbeck.teachers import Ensemble, Frozen

__version__ = "0.1.0"

# Imported when first used, so that `import limbeck` imports no torch.
_MODULES = {
    "Distiller": "limbeck.core",
    "Ensemble": "limbeck.teachers",
    "Frozen": "limbeck.teachers",
    "Mean": "limbeck.core",
    "StepOutput": "limbeck.core",
    "Tapped": "limbeck.core",
    "Term": "limbeck.core",
    "resume": "limbeck.api",
    "run": "limbeck.api",
}
_PACKAGES = ("functional", "losses", "teachers", "models", "measure")

__all__ = ["Distiller", "Ensemble", "Frozen", "Mean", "StepOutput", "Tapped", "Term", "__version__", "resume", "run"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"limbeck.{name}")
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
