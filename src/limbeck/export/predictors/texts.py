"""Predictions for texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.errors import ArgumentError
from limbeck.export.predictors.outputs import predictions_of
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.predictors.shipped_tokenizer import ShippedTokenizer
from limbeck.export.session import Session

__all__ = ["predict"]


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The predictions for texts, read with the tokenizer in the folder.

    Args:
        inputs: texts.
        pairs: the second text of each, for a model of pairs.
        folder: with the tokenizer.
        session: of a file whose metadata entry ``texts`` is the number of texts in a row.

    Raises:
        ArgumentError: if a text is empty, or the number of second texts is not the right one.
    """
    expected = int(session.metadata["texts"])
    if len(pairs) != (len(inputs) if expected == 2 else 0):
        raise ArgumentError(
            f"{len(inputs)} text(s) and {len(pairs)} second ones; the model takes {expected} text(s) in a row",
            code="mismatch",
            path="pairs",
        )
    empty = [number for number, text in enumerate([*inputs, *pairs]) if not text.strip()]
    if empty:
        raise ArgumentError(f"text {empty[0] + 1} is empty; give it at least one word", code="missing", path="inputs")
    tokenizer = ShippedTokenizer(folder, list(session.inputs))
    rows = list(zip(inputs, *([pairs] if pairs else []), strict=True))
    return predictions_of(session(tokenizer.texts(rows)), session)
