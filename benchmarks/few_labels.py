"""Fashion-MNIST with 1,000 labelled and 9,000 unlabelled images: a 20k-parameter student against its control.

    python benchmarks/few_labels.py [--folder DIR] [--output DIR] [--set train.epochs=12 ...]

Without ``--folder``, the four IDX files come from the Debian package dataset-fashion-mnist, fetched with apt-get into
the user's cache. The control sees the 1,000 labelled images alone, in as many and as large batches. Prints the table,
the verdict and whether the student is at least 5 points above its control, with an interval clear of 0.
"""

from __future__ import annotations

from typing import Any

from fashion_mnist import RECIPE as ALL_LABELS
from fashion_mnist import conclude, measured

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
    _, gain = measured(RECIPE, __doc__)
    conclude(
        {
            f"student above its control by at least 5 points: {100 * gain['difference']:.2f}": gain["difference"]
            >= 0.05,
            f"interval clear of 0: {100 * gain['low']:+.2f} to {100 * gain['high']:+.2f}": gain["low"] > 0,
        }
    )


if __name__ == "__main__":
    main()
