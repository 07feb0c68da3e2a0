"""Files that are either whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic", "canonical_hash", "file_hash", "held", "user_cache", "write_json", "write_text"]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the name ``path`` once the block ends well, and goes if it does not.

    The data is on the disk before the name is: after a crash, ``path`` holds the old content or the new, whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic(Path(folder) / "a.txt") as beside:
    ...         _ = beside.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    # Not by the process's number: two containers that share a disk may have the same.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, flags: int = 0) -> Iterator[None]:
    """A lock on a folder or file, which goes with the process that holds it.

    Raises:
        BlockingIOError: if another process holds it and ``flags`` is ``fcntl.LOCK_NB``.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically. NaN is refused: it is no JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def file_hash(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_hash(value: Any) -> str:
    """The sha256 of a value's canonical JSON: keys sorted, no spaces.

    >>> canonical_hash({"a": 1, "b": 2}) == canonical_hash({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def user_cache(kind: str) -> Path:
    """Where a kind of files is kept from run to run: under LIMBECK_CACHE, else under the user's folder for caches."""
    own = os.environ.get("LIMBECK_CACHE")
    if own:
        return Path(own, kind)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "limbeck", kind)
