"""No labels: whatever a source has, it is not read."""

from __future__ import annotations

from pathlib import Path

from data.record_files import to_csv
from limbeck.data import ImageSet, NoLabels, TableSet, TextSet, load


def test_columns_of_labels_are_not_needed(tmp_path: Path) -> None:
    file = to_csv(tmp_path / "rows.csv", [{"text": "a", "size": 1}, {"text": "b", "size": 2}])
    data = load(TextSet, NoLabels, {"use": "csv", "file": str(file)})["train"]
    assert (data.target.tolist(), data.classes, data.labelled.any().item()) == ([-100, -100], (), False)
    table = load(TableSet, NoLabels, {"use": "csv", "file": str(file), "features": ("size",)})["train"]
    assert table.numeric.tolist() == [[1.0], [2.0]]


def test_labels_of_a_complete_source_are_dropped() -> None:
    for row_type, use in ((ImageSet, "digits"), (TableSet, "diabetes")):
        data = load(row_type, NoLabels, {"use": use})["train"]
        assert not data.labelled.any()
        assert (data.classes, data.targets) == ((), ())
