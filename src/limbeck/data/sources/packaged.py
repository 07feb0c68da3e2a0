"""Data files that other Python packages bring along, found without importing those packages."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import DataError

__all__ = ["packaged_file", "read_bytes_table", "read_table"]


def packaged_file(package: str, path: str, *, distribution: str) -> Path:
    """Where an installed package keeps a file.

    Args:
        package: the top-level package; its code is not run, as importing it may take seconds.
        path: the file inside it.
        distribution: what to install if it is not there.

    Raises:
        DataError: if the package or the file is not installed.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        file = Path(folder, path)
        if file.is_file():
            return file
    raise DataError(
        f"the package {package} with its file {path} is not installed: pip install {distribution}",
        code="not_installed",
        path=package,
    )


def read_bytes_table(file: Path, columns: int) -> NDArray[np.uint8]:
    """A gzipped table of integers in 0..255, separated by commas, as `[rows, columns]`.

    Raises:
        DataError: if the file is corrupt or is not such a table.
    """
    try:
        text = gzip.decompress(file.read_bytes()).decode("ascii")
        values = np.fromstring(text.replace("\n", ","), dtype=np.int64, sep=",")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError.at(file, f"cannot be read as gzipped text: {error}", code="unreadable") from error
    rows = text.count("\n")
    if not rows or values.size != rows * columns or values.min() < 0 or values.max() > 255:
        raise DataError.at(
            file,
            f"{values.size} numbers in {rows} lines; expected {columns} numbers in 0..255 per line",
            code="damaged",
        )
    return values.astype(np.uint8).reshape(rows, columns)


def read_table(file: Path, columns: int, *, skip: int = 0) -> NDArray[np.float64]:
    """A table of numbers, separated by commas or spaces and perhaps gzipped, as `[rows, columns]`.

    Args:
        file: where it is.
        columns: how many numbers a line has.
        skip: lines at the top that are no rows.

    Raises:
        DataError: if the file is corrupt or is not such a table.
    """
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("ascii")
        lines = text.splitlines()[skip:]
        values = np.array([[float(cell) for cell in line.replace(",", " ").split()] for line in lines])
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError.at(file, f"cannot be read as a table of numbers: {error}", code="unreadable") from error
    if values.ndim != 2 or values.shape[1] != columns:
        raise DataError.at(
            file, f"its values have shape {values.shape}; expected {columns} numbers in each line", code="damaged"
        )
    return values
