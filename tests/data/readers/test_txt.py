from __future__ import annotations

from pathlib import Path

import pytest

from data.record_files import texts
from limbeck.errors import DataError


def written(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_each_line_is_a_text_without_a_label(tmp_path: Path) -> None:
    train = written(tmp_path, "a.txt", "\ufeffone text\r\nnaïve, \u2028still two\nlast".encode())
    found = texts("txt", file=train, test_file=written(tmp_path, "b.txt", b"held out\n")).load()
    assert found["train"].texts == [("one text",), ("naïve, \u2028still two",), ("last",)]
    assert found["test"].texts == [("held out",)]
    assert not found["train"].labelled.any()
    assert (found["train"].classes, found["train"].index.tolist(), found["test"].index.tolist()) == ((), [0, 1, 2], [3])


def test_lines_that_are_refused_or_skipped(tmp_path: Path) -> None:
    file = written(tmp_path, "a.txt", b"good\n\n  \nb\xe9d\nfine\n")
    with pytest.raises(DataError, match=r"a\.txt, row 2: .*empty"):
        texts("txt", file=file).load()
    (found,) = texts("txt", file=file, skip=True).load().values()
    assert found.texts == [("good",), ("fine",)]
    (line,) = found.skipped
    assert "3 rows skipped, 2 because" in line
    assert "UTF-8" in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*none\.txt; give the path"):
        texts("txt", file=str(tmp_path / "none.txt")).load()
