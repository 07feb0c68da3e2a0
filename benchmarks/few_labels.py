"""Fashion-MNIST with 1,000 labelled and 9,000 unlabelled images: a 20k-parameter student against its control.

    python benchmarks/few_labels.py [--folder DIR] [--output DIR] [--set train.epochs=12 ...]

Without ``--folder``, the four IDX files come from the Debian package dataset-fashion-mnist, fetched with apt-get into
the user's cache. The control sees the 1,000 labelled images alone, in as many and as large batches. Prints the table,
the verdict and whether the student is at least 5 points above its control, with an interval clear of 0.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fashion_mnist import RECIPE as ALL_LABELS
from fashion_mnist import fetch

import limbeck
from limbeck.report import summary_text
from limbeck.training.progress import progress_for_terminal

RECIPE: dict[str, Any] = {
    **ALL_LABELS,
    "name": "few_labels",
    "data": {"use": "idx", "validation": 0.1, "limit": 10_000, "labels": 1_000},
    "models": {
        "teacher": {key: value for key, value in ALL_LABELS["models"]["teacher"].items() if key != "taps"},
        "student": {"use": "resnet", "width": 8, "depth": 1},
    },
    "objective": {
        "hard": {"loss": "cross_entropy", "weight": 0.1, "where": "batch.labelled"},
        "soft": {"loss": {"use": "kl_divergence", "temperature": 4.0}, "weight": 0.9},
    },
    "train": {"epochs": 20, "batch_size": 64, "learning_rate": 1.0e-2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="with the four IDX files of Fashion-MNIST")
    parser.add_argument("--output", type=Path, help="the folder of the run")
    parser.add_argument("--set", action="append", default=[], help="a value of the recipe, as in train.epochs=12")
    given = parser.parse_args()
    folder = given.folder or fetch(Path.home() / ".cache" / "limbeck")
    overrides = [f"data.folder={folder}", *given.set]
    run = limbeck.run(RECIPE, overrides=overrides, output=given.output, progress=progress_for_terminal())
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    print(summary_text(results))
    print(results["verdict"])
    gain = next(c for c in results["comparisons"] if (c["b"], c["metric"]) == ("control", "accuracy"))
    checks = {
        f"student above its control by at least 5 points: {100 * gain['difference']:.2f}": gain["difference"] >= 0.05,
        f"interval clear of 0: {100 * gain['low']:+.2f} to {100 * gain['high']:+.2f}": gain["low"] > 0,
    }
    for text, holds in checks.items():
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    print(f"run {run}")
    raise SystemExit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
