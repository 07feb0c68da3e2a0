"""Predictions need no torch: everything that they import is imported in a new process."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import pkgutil, importlib, sys
from limbeck.export import Delivery, Prediction, Session, predictors
names = [module.name for module in pkgutil.walk_packages(predictors.__path__, f"{predictors.__name__}.")]
for name in [*names, "limbeck.runs.prediction", "limbeck.plugins"]:
    importlib.import_module(name)
print(len(names), sorted({"torch", "transformers", "accelerate", "onnx"} & set(sys.modules)))
"""


def test_nothing_for_predictions_imports_torch() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    count, _, modules = found.stdout.strip().partition(" ")
    assert (modules, found.stderr) == ("[]", "")
    assert int(count) >= 8
