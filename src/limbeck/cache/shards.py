"""One file of entries: where everything lies in it, and whether it is whole.

A shard is a header of 64 bytes (a mark, the shard's number, the manifest's key), a block for each field, and the sha256
of all that. A block is what was measured, the codec's head, and one record of fixed size for each entry; blocks, and
the records in them, start at multiples of 64 bytes. The checksum lies in the shard and not in the manifest, so that a
shard is written at one go, and processes that write side by side share no file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch

from limbeck.cache.codecs.codec import Bytes, Encoded
from limbeck.cache.manifest import Manifest
from limbeck.errors import CacheError
from limbeck.files import atomic, held

__all__ = ["Block", "MappedShard", "fault", "layout", "shard_path", "sweep", "total_bytes", "write_shard", "writing"]

_mark = b"limbeck1"
_align = 64
_digest = 32
_at_once = 2**22
_full = (errno.ENOSPC, errno.EDQUOT)
_measured = struct.Struct("<dd")


class Block(NamedTuple):
    """Where a field lies in a shard, in bytes: its head, its records, and the size of one record."""

    head: int
    head_bytes: int
    records: int
    record_bytes: int


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / "shards" / f"{number:06d}.bin"


def layout(manifest: Manifest, number: int) -> tuple[dict[str, Block], int]:
    """The blocks of a shard by field, and the size of its file."""
    place, entries, blocks = _align, len(manifest.shard(number)), {}
    for name, (shape, codec) in manifest.fields.items():
        head_bytes, record_bytes = codec.head_bytes(shape), codec.record_bytes(shape)
        records = _aligned(place + _measured.size + head_bytes)
        blocks[name] = Block(place, head_bytes, records, record_bytes)
        place = _aligned(records + entries * record_bytes)
    return blocks, place + _digest


def total_bytes(manifest: Manifest) -> int:
    """The size of all shards."""
    last = manifest.shards - 1
    return last * layout(manifest, 0)[1] + layout(manifest, last)[1]


def write_shard(folder: Path, manifest: Manifest, number: int, sealed: Mapping[str, Encoded]) -> None:
    """Write a shard atomically.

    Raises:
        CacheError: if it cannot be written, as on a full disk; the shards that are there stay usable.
    """
    path = shard_path(folder, number)
    content = _content(manifest, number, sealed)
    with writing(path, manifest), ExitStack() as held, atomic(path) as beside:
        file = held.enter_context(beside.open("wb"))
        # Held until it has its name: `sweep` leaves alone what a living process writes.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(content)
        file.write(hashlib.sha256(content).digest())
        file.flush()


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[None]:
    """Say what to do where a part of a cache cannot be written.

    Raises:
        CacheError: in place of an error of the disk.
    """
    try:
        yield
    except OSError as error:
        room = f"make room (the cache takes {total_bytes(manifest):,} bytes in all)"
        mend = room if error.errno in _full else "mend that"
        raise CacheError(
            f"{path} cannot be written ({error.strerror or error}); {mend} and build again: the shards that are there "
            "are usable and stay",
            code="unwritable",
            path=path,
        ) from error


def _content(manifest: Manifest, number: int, sealed: Mapping[str, Encoded]) -> bytearray:
    blocks, size = layout(manifest, number)
    content = bytearray(size - _digest)
    content[: len(_header(manifest, number))] = _header(manifest, number)
    for name, block in blocks.items():
        measured, (rows, error, mass, head) = block.head + _measured.size, sealed[name]
        content[block.head : measured] = _measured.pack(error, mass)
        content[measured : measured + block.head_bytes] = head
        content[block.records : block.records + rows.size] = rows.tobytes()
    return content


def _header(manifest: Manifest, number: int) -> bytes:
    return _mark + number.to_bytes(8, "little") + bytes.fromhex(manifest.key)


def _aligned(place: int) -> int:
    return -(-place // _align) * _align


def fault(folder: Path, manifest: Manifest, number: int, *, checksum: bool = True) -> str | None:
    """What is wrong with a shard; None if it is whole. Without its checksum, only size and header are looked at."""
    path = shard_path(folder, number)
    _, size = layout(manifest, number)
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                return f"{path} is {'cut off' if found < size else 'too long'}: {found:,} bytes, expected {size:,}"
            header = _header(manifest, number)
            if file.read(len(header)) != header:
                return f"{path} is not shard {number} of this cache: its header is another one"
            if checksum and _checksum(file.fileno(), size) != os.pread(file.fileno(), _digest, size - _digest):
                return f"{path} is damaged: its checksum is another one"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return None


def _checksum(descriptor: int, size: int) -> bytes:
    digest, end = hashlib.sha256(), size - _digest
    for place in range(0, end, _at_once):
        digest.update(os.pread(descriptor, min(_at_once, end - place), place))
    return digest.digest()


def sweep(folder: Path, numbers: Container[int]) -> None:
    """Remove what killed processes left of these shards, and nothing that a living one writes."""
    for left in shard_path(folder, 0).parent.glob(".*.bin.*.tmp"):
        if int(left.name.split(".")[1]) in numbers:
            with suppress(BlockingIOError, FileNotFoundError), held(left, fcntl.LOCK_NB):
                left.unlink()


class MappedShard:
    """A shard in memory as far as it is read.

    Raises:
        CacheError: if it is missing, cut off, or of another cache.
    """

    def __init__(self, folder: Path, manifest: Manifest, number: int) -> None:
        wrong = fault(folder, manifest, number, checksum=False)
        if wrong:
            raise CacheError(
                f"{wrong}; build the cache again, which writes what is missing",
                code="damaged",
                path=shard_path(folder, number),
            )
        self._blocks, _ = layout(manifest, number)
        self._entries = len(manifest.shard(number))
        # Not mmap.mmap, which keeps a file open for each shard.
        path, size = str(shard_path(folder, number)), layout(manifest, number)[1]
        self._bytes = torch.from_file(path, shared=False, size=size, dtype=torch.uint8).numpy()

    def records(self, name: str) -> Bytes:
        """The records of a field, uint8 `[entries, record_bytes]`."""
        _, _, start, size = self._blocks[name]
        return self._bytes[start : start + self._entries * size].reshape(self._entries, size)

    def head(self, name: str) -> Bytes:
        """The codec's head of a field, uint8 `[head_bytes]`."""
        start, size, _, _ = self._blocks[name]
        return self._bytes[start + _measured.size : start + _measured.size + size]

    def measured(self, name: str) -> tuple[float, float]:
        """The largest error of a field, and the mean of the teacher's probability on the classes that were kept."""
        start = self._blocks[name].head
        error, mass = _measured.unpack(self._bytes[start : start + _measured.size].tobytes())
        return error, mass
