"""Readers: one file per format, each from a file or a name to records."""

from __future__ import annotations

from limbeck.data.readers.conll import Conll
from limbeck.data.readers.csv import Csv
from limbeck.data.readers.datasets import Datasets
from limbeck.data.readers.jsonl import JsonLines
from limbeck.data.readers.objects import Objects
from limbeck.data.readers.parquet import Parquet
from limbeck.data.readers.reader import FileReader, InvalidRow, Position, Reader, Record, Records, reader_of
from limbeck.data.readers.txt import Txt

__all__ = [
    "Conll",
    "Csv",
    "Datasets",
    "FileReader",
    "InvalidRow",
    "JsonLines",
    "Objects",
    "Parquet",
    "Position",
    "Reader",
    "Record",
    "Records",
    "Txt",
    "reader_of",
]
