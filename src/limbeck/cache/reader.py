"""Reading a cache."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Shape, section_of
from limbeck.cache.fingerprints import library_versions
from limbeck.cache.manifest import Manifest, differences
from limbeck.cache.shards import MappedShard, fault, total_bytes
from limbeck.errors import ArgumentError, CacheError, suggest
from limbeck.functional import SparseLogits

__all__ = ["CacheReader"]


class CacheReader:
    """The outputs of a teacher on disk, by row and view.

    Shards are mapped into memory when they are first read. A copy in another process maps them itself, so a store may
    be pickled, forked and read by many workers.

    Args:
        folder: what `build` wrote, whole or not: entries of a shard that is missing are refused when they are read.

    Raises:
        CacheError: if it is no cache.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self._mapped: dict[int, MappedShard] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": {}}

    def read(
        self, rows: Tensor, views: Tensor, fields: Collection[str] | None = None
    ) -> dict[str, Tensor | SparseLogits]:
        """The outputs of the teacher for each view of each row.

        Args:
            rows: int64 `[B]`, 0 to N - 1.
            views: int64 `[B]`, 0 to V - 1.
            fields: the names to read; all by default.

        Returns:
            name -> float32 `[B, …]` on the CPU, or `SparseLogits`, if the codec is a sparse one.

        Raises:
            ArgumentError: if a row, a view or a name is not in the cache.
            CacheError: if a shard is missing, cut off or of another cache.
        """
        entries = self._entries(rows, views)
        shards, places = np.divmod(entries, self.manifest.shard_entries)
        numbers, own = np.unique(shards, return_inverse=True)
        return {
            name: self._read(name, numbers.tolist(), own, places)
            for name in (self.manifest.fields if fields is None else self._known(fields))
        }

    def _read(
        self, name: str, numbers: list[int], own: NDArray[np.int64], places: NDArray[np.int64]
    ) -> Tensor | SparseLogits:
        shape, codec = self.manifest.fields[name]
        mapped = [self._shard(number) for number in numbers]
        records = np.empty((len(places), codec.record_bytes(shape)), np.uint8)
        order = np.argsort(own, kind="stable")
        start = 0
        for shard, end in zip(mapped, np.bincount(own).cumsum().tolist(), strict=True):
            rows = order[start:end]
            records[rows] = shard.records(name)[places[rows]]
            start = end
        heads = np.empty((len(mapped), codec.head_bytes(shape)), np.uint8)
        if heads.size:
            np.stack([shard.head(name) for shard in mapped], out=heads)
        return codec.decode(records, heads, own, shape)

    def _entries(self, rows: Tensor, views: Tensor) -> NDArray[np.int64]:
        manifest = self.manifest
        for kind, found, count in (("row", rows, manifest.rows), ("view", views, manifest.views)):
            if found.ndim != 1 or found.dtype != torch.int64 or len(found) != len(rows):
                raise ArgumentError(
                    f"cache: {kind}s are {found.dtype} of shape {list(found.shape)}; expected one int64 for each row",
                    code="wrong_shape",
                    path=f"{kind}s",
                )
            if len(found) and not 0 <= int(found.min()) <= int(found.max()) < count:
                raise ArgumentError(
                    f"cache: {kind}s are {int(found.min())} to {int(found.max())}, and {self.folder} holds 0 to "
                    f"{count - 1}; " + ("read the split it was made of" if kind == "row" else "take view modulo that"),
                    path=f"{kind}s",
                )
        return (views * manifest.rows + rows).cpu().numpy()

    def _known(self, fields: Collection[str]) -> Collection[str]:
        for name in fields:
            if name not in self.manifest.fields:
                raise ArgumentError(
                    f"cache: {self.folder} has no {name!r}.{suggest(name, self.manifest.fields)}",
                    code="unknown_name",
                    path=name,
                )
        return fields

    def _shard(self, number: int) -> MappedShard:
        found = self._mapped.get(number)
        if found is None:
            found = self._mapped[number] = MappedShard(self.folder, self.manifest, number)
        return found

    def check(self, fingerprints: Mapping[str, Any]) -> None:
        """Refuse a cache that was made from something else, or by other libraries.

        Args:
            fingerprints: as they must stand in the manifest.

        Raises:
            CacheError: with everything that differs.
        """
        found = {**self.manifest.fingerprints, "versions": self.manifest.versions}
        told = differences(found, {**fingerprints, "versions": library_versions()})
        if told:
            raise CacheError(
                f"{self.folder} does not fit: {'; '.join(told)}. Build the cache again",
                code="changed",
                path=self.folder,
            )

    def faults(self, *, checksums: bool = True) -> dict[int, str]:
        """What is wrong with which shards; nothing if all are whole. Without checksums, by size and header."""
        found = {n: fault(self.folder, self.manifest, n, checksum=checksums) for n in range(self.manifest.shards)}
        return {number: wrong for number, wrong in found.items() if wrong is not None}

    def measured_error(self, name: str, number: int) -> float:
        """The largest error of a field when a shard was written."""
        return self._shard(number).measured(name)[0]

    def info(self) -> dict[str, Any]:
        """What the cache holds, in the types of JSON: sizes, and each codec with its promise and its measured error.

        The error is the largest over all shards that are there, in the unit that the promise names; the mass is the
        mean of the teacher's probability on the classes that were kept, or None where all were.
        """
        manifest, missing = self.manifest, sorted(self.faults(checksums=False))
        there = [number for number in range(manifest.shards) if number not in set(missing)]
        return {
            **manifest.plain,
            "key": manifest.key,
            "entries": manifest.entries,
            "bytes": total_bytes(manifest),
            "shards": manifest.shards,
            "missing": missing,
            "fields": {name: self._field_info(name, there) for name in manifest.fields},
        }

    def _field_info(self, name: str, there: list[int]) -> dict[str, Any]:
        shape, codec = self.manifest.fields[name]
        measured = [self._shard(number).measured(name) for number in there]
        weights = [len(self.manifest.shard(number)) for number in there]
        mass = float(np.average([mass for _, mass in measured], weights=weights)) if there else float("nan")
        return {
            "shape": list(shape),
            "codec": section_of(codec),
            "bytes_per_entry": codec.record_bytes(shape),
            "bytes_per_position": codec.record_bytes(shape) / _positions(shape),
            "promise": codec.promise,
            "error": max((error for error, _ in measured), default=None),
            "mass": None if np.isnan(mass) else mass,
        }


def _positions(shape: Shape) -> int:
    """The positions of an entry: the tokens of `[T, C]`; 1 for `[C]`, and for the maps of images."""
    return shape[0] if len(shape) == 2 else 1
