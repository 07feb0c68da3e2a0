"""Files of records, and what reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from limbeck.data import ClassLabels, TagLabels, TagSet, TextSet, source_constructor

Records = list[dict[str, Any]]


def to_csv(file: Path, rows: Records) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def to_jsonl(file: Path, rows: Records) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def to_parquet(file: Path, rows: Records) -> Path:
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


WRITERS: dict[str, Callable[[Path, Records], Path]] = {"csv": to_csv, "jsonl": to_jsonl, "parquet": to_parquet}


def texts(reader: str, **options: Any) -> Any:
    """A source of texts with classes."""
    return source_constructor(TextSet, ClassLabels, {"use": reader})(**options)


def sentences(reader: str, **options: Any) -> Any:
    """A source of words with tags."""
    return source_constructor(TagSet, TagLabels, {"use": reader})(**options)
