"""Asking a teacher for all entries of a cache, and writing down what it says."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from limbeck.cache.codecs.codec import Encoded, row_values
from limbeck.cache.manifest import Field, Manifest, differences
from limbeck.cache.shards import fault, shard_path, sweep, write_shard, writing
from limbeck.errors import ArgumentError, CacheError
from limbeck.files import held

__all__ = ["BuildResult", "Outputs", "build", "checked"]

T = TypeVar("T")

_waiting_batches = 2

Outputs: TypeAlias = Callable[[Tensor, Tensor], Mapping[str, Any]]


class BuildResult(NamedTuple):
    """What a build did: the shards that it wrote, and what was wrong with those of them that were there before."""

    written: tuple[int, ...]
    mended: Mapping[int, str]


def build(
    folder: Path,
    manifest: Manifest,
    outputs: Outputs,
    *,
    part: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] | None = None,
) -> BuildResult:
    """Write all shards of a cache that are not there yet, or are damaged; those that are whole stay.

    A build that was killed, or ended on a full disk, goes on where it was, and ends with the same bytes as an unbroken
    one, if the teacher says the same for the same batch. Processes with different parts may write side by side. A shard
    is encoded and written in another thread, while the teacher computes on.

    Args:
        folder: of the cache; it is made if there is none.
        manifest: what to write. A folder that holds another manifest is refused.
        outputs: gives the outputs of the teacher: called with int64 rows `[B]` and views `[B]`, it returns a mapping of
            names to tensors `[B, …]`. It must not depend on anything else. Gradients are off.
        part: (i, n): write the shards i, i + n, i + 2n, …
        progress: called with the number of entries of this part that the teacher was asked for, and that there are.

    Raises:
        CacheError: if the folder holds another cache (with what differs), the teacher says something that cannot be
            kept, or a shard cannot be written.
        ArgumentError: if the part is out of range.

    Example:
        >>> import tempfile
        >>> from limbeck.cache import CacheReader, fields_of
        >>> table = torch.rand(10, 2, 3)
        >>> outputs = lambda rows, views: {"logits": table[rows, views]}
        >>> fields = fields_of(outputs(torch.tensor([0]), torch.tensor([0])), {"logits": {"use": "float32"}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     built = build(Path(folder), Manifest(fields, rows=10, views=2, batch_size=4), outputs)
        ...     read = CacheReader(Path(folder)).read(torch.tensor([7, 3]), torch.tensor([1, 0]))
        >>> len(built.written), torch.equal(read["logits"], table[[7, 3], [1, 0]])
        (5, True)
    """
    number, parts = part
    if not 0 <= number < parts:
        raise ArgumentError(
            f"cache: the part is {number} of {parts}; expected 0 to {parts - 1}, counted from 0", path="part"
        )
    _prepare(folder, manifest)
    own = range(number, manifest.shards, parts)
    sweep(folder, own)
    total = sum(len(manifest.shard(shard)) for shard in own)
    done, mended, written = 0, {}, []
    with _Aside() as aside:
        for shard in own:
            wrong = fault(folder, manifest, shard)
            if wrong is not None:
                if shard_path(folder, shard).exists():
                    mended[shard] = wrong
                _ask(folder, manifest, shard, outputs, aside)
                written.append(shard)
            if progress is not None:
                done += len(manifest.shard(shard))
                progress(done, total)
    return BuildResult(tuple(written), mended)


class _Aside:
    """Work in another thread, in order, while the teacher computes on: encoding, checksums, waiting for the disk."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """Begin some work. What went wrong in earlier work is raised here."""
        # Each waiting batch holds the outputs of the teacher for it.
        while len(self._waiting) >= _waiting_batches:
            self._waiting.popleft().result()
        future = self._thread.submit(work, *arguments)
        self._waiting.append(future)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            for future in self._waiting:
                future.result()


def _prepare(folder: Path, manifest: Manifest) -> None:
    with writing(folder, manifest):
        shard_path(folder, 0).parent.mkdir(parents=True, exist_ok=True)
        with held(folder):
            if manifest.is_in(folder):
                told = differences(Manifest.read(folder).plain, manifest.plain)
                if told:
                    raise CacheError(
                        f"{folder} holds another cache: {'; '.join(told)}. Remove it, or build elsewhere",
                        code="mismatch",
                        path=folder,
                    )
            else:
                for left in folder.glob(".manifest.json.*.tmp"):
                    left.unlink()
                manifest.write(folder)


@torch.no_grad()
def _ask(folder: Path, manifest: Manifest, number: int, outputs: Outputs, aside: _Aside) -> None:
    batches = []
    shard = manifest.shard(number)
    for first in range(shard.start, shard.stop, manifest.batch_size):
        entries = torch.arange(first, min(first + manifest.batch_size, shard.stop))
        found = outputs(entries % manifest.rows, entries // manifest.rows)
        # A copy: a teacher may write its next answer into the same memory, as a compiled one does with CUDA graphs.
        own = {
            name: value.clone()
            for name, value in found.items()
            if name in manifest.fields and isinstance(value, Tensor)
        }
        batches.append(aside.do(_encoded, manifest, entries, own))
    aside.do(_write, folder, manifest, number, batches)


def _encoded(manifest: Manifest, entries: Tensor, found: Mapping[str, Any]) -> dict[str, Encoded]:
    return {
        name: field.codec.encode(checked(name, field, found, entries, manifest.rows), int(entries[0]))
        for name, field in manifest.fields.items()
    }


def _write(folder: Path, manifest: Manifest, number: int, batches: list[Future[dict[str, Encoded]]]) -> None:
    # One that could not be encoded raises here too: no shard is written without it.
    encoded = [batch.result() for batch in batches]
    sealed = {name: _sealed(field, [batch[name] for batch in encoded]) for name, field in manifest.fields.items()}
    write_shard(folder, manifest, number, sealed)


def _sealed(field: Field, batches: list[Encoded]) -> Encoded:
    counts = [len(batch.rows) for batch in batches]
    sealed = field.codec.seal(np.concatenate([batch.rows for batch in batches]), field.shape)
    error = max(sealed.error, *(batch.error for batch in batches))
    masses = [batch.mass for batch in batches]
    mass = math.nan if math.isnan(masses[0]) else float(np.average(masses, weights=counts))
    return sealed._replace(error=error, mass=mass)


def checked(name: str, field: Field, found: Mapping[str, Any], entries: Tensor, rows: int) -> Tensor:
    """The output of the teacher of this name for some entries.

    Raises:
        CacheError: if there is nothing, its shape is not that of the field, or a value is not finite.
    """
    value = found.get(name)
    shape = None if not isinstance(value, Tensor) else list(value.shape)
    if not isinstance(value, Tensor) or shape != [len(entries), *field.shape]:
        raise CacheError(
            f"the teacher gives {name!r} with shape {shape} for {len(entries)} rows; the cache holds "
            f"[*, {', '.join(map(str, field.shape))}]: every row needs the same shape",
            code="missing" if value is None else "wrong_shape",
            path=name,
        )
    finite = row_values(value.isfinite()).all(1)
    if not finite.all():
        entry = int(entries[int(finite.int().argmin())])
        raise CacheError(
            f"the teacher gives {name!r} with a NaN or an infinity for view {entry // rows} of row {entry % rows}; "
            "mend the teacher or the row",
            code="not_finite",
            path=name,
        )
    return value
