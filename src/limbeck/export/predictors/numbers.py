"""Predictions of numbers, for rows of tables or for image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.export.predictors import images, rows
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["predict"]


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The predictions of `limbeck.export.predictors.images`, if the file takes images, else those of `rows`.

    Args:
        inputs: paths of image files, or rows.
        pairs: none.
        folder: of the exported file.
        session: of a file with one input, ``[B, C, H, W]`` or ``[B, F]``.

    Raises:
        ArgumentError: if there are pairs, or a row cannot be read.
        DataError: if a file is not an image.
    """
    takes_images = any(len(info.shape) == 4 for info in session.inputs.values())
    if takes_images:
        return images.predict(inputs, pairs, folder, session)
    return rows.predict(inputs, pairs, folder, session)
