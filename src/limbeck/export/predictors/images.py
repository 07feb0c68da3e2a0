"""Predictions for image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.export.predictors.image_files import read_image
from limbeck.export.predictors.outputs import predictions_of
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["predict"]


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The predictions for image files, brought to the size and the channels of the model.

    Args:
        inputs: paths of image files.
        pairs: none.
        folder: of the exported file.
        session: of a file with one input ``[B, C, H, W]``, float32 in 0..1.

    Raises:
        ArgumentError: if there are pairs.
        DataError: if a file is not an image.
    """
    if pairs:
        raise ArgumentError("an image has no second text; leave the pair out", code="unsupported", path="pairs")
    (image,) = session.inputs.values()
    channels, height, width = map(int, image.shape[1:])
    rows = [read_image(Path(file), channels, (height, width)) for file in inputs]
    return predictions_of(session(np.stack(rows)), session)
