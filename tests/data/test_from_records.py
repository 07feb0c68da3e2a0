"""From records to row sets: numbering, skipped rows, and readers that give plain iterators."""

from __future__ import annotations

from limbeck.data import ClassLabels
from limbeck.data.from_records import rows_from_records
from limbeck.data.readers import InvalidRow, Position
from limbeck.data.rows.texts import TextFields
from limbeck.errors import DataError
from refusals import refused


def records(*rows: tuple[str, str] | None) -> list[tuple[Position, dict[str, str] | InvalidRow]]:
    """Rows of text and label; None is one that cannot be read. Positions are lines of a file with a comment."""
    return [
        (Position("made", number), InvalidRow("torn") if row is None else {"text": row[0], "label": row[1]})
        for number, row in enumerate(rows, start=2)
    ]


def test_rows_keep_their_numbers_and_sets_are_numbered_on() -> None:
    train, test = records(("a", "x"), None, ("", "y"), ("d", "y")), records(None, ("e", "z"), ("f", "x"))
    sets = rows_from_records({"train": iter(train), "test": iter(test)}, TextFields(), ClassLabels(), skip=True)
    assert [data.index.tolist() for data in sets.values()] == [[0, 3], [6]]
    assert sets["train"].skipped == (
        "the split 'train': 2 rows skipped, 1 because torn, 1 because the column 'text' is empty",
    )
    assert sets["test"].skipped == (
        "the split 'test': 2 rows skipped, 1 because torn, 1 because the label 'z' does not occur in the training rows",
    )


def test_a_refused_row_is_named_by_the_position_that_the_reader_gives() -> None:
    with refused(
        DataError, "invalid_row", "made, row 3", match=r"^made, row 3: torn; mend the row, or say skip: true$"
    ):
        rows_from_records({"train": records(("a", "x"), None)}, TextFields(), ClassLabels())


def test_rows_are_needed() -> None:
    with refused(DataError, "missing", "the split 'train'"):
        rows_from_records({"train": records(None)}, TextFields(), ClassLabels(), skip=True)
    with refused(DataError, "unknown_name", "train", match=r"the reader has records of \['dev'\]; expected train"):
        rows_from_records({"dev": records(("a", "x"))}, TextFields(), ClassLabels())
