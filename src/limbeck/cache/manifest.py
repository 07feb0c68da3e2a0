"""What a cache holds and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from torch import Tensor

from limbeck.cache.codecs import Codec, codec_of, section_of
from limbeck.cache.codecs.codec import Shape
from limbeck.cache.fingerprints import library_versions
from limbeck.errors import ArgumentError, CacheError, suggest
from limbeck.files import canonical_hash, write_json

__all__ = ["Field", "Manifest", "differences", "fields_of"]

_schema = 1
_file = "manifest.json"
_shard_bytes = 2**24
_fewest_shards, _most_shards = 64, 2**14


class Field(NamedTuple):
    """One named output: the shape of an entry, and how it is written."""

    shape: Shape
    codec: Codec


def fields_of(outputs: Mapping[str, Tensor], codecs: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    """The fields of a cache, given the outputs of the teacher for some rows, and the section of each codec.

    Raises:
        ArgumentError: if there is no such output, it is no floating tensor, or its shape does not fit the codec.

    >>> import torch
    >>> fields_of({"logits": torch.zeros(4, 10)}, {"logits": {"use": "float16"}})
    {'logits': Field(shape=(10,), codec=Float16())}
    """
    fields = {}
    for name, section in codecs.items():
        if name not in outputs:
            raise ArgumentError(
                f"cache: the teacher has no output {name!r}.{suggest(name, outputs)}",
                code="unknown_name",
                path="fields",
            )
        value = outputs[name]
        if not isinstance(value, Tensor) or not value.is_floating_point() or not value.ndim:
            raise ArgumentError(
                f"cache: the output {name!r} is no floating tensor with a row for each input; leave it out",
                code="unsupported",
                path="fields",
            )
        codec = codec_of(section)
        codec.check(tuple(value.shape[1:]))
        fields[name] = Field(tuple(value.shape[1:]), codec)
    return fields


@dataclass(frozen=True)
class Manifest:
    """The plan of a cache, known before anything is computed; two caches with equal manifests hold the same.

    An entry holds the outputs of the teacher for one view of one row; its number is ``view * rows + row``. Entries are
    written in shards of fixed size. The teacher sees the entries of a shard from its start, batch_size at a time, so a
    batch holds the same entries in every build.

    Args:
        fields: name of the output -> `Field`; see `fields_of`.
        rows: N, the rows of the training split.
        views: V, how many augmentations of each row there are.
        fingerprints: what else decides the outputs: the teacher, the rows, the transforms and their seed, a tokenizer.
            Plain values as in JSON; each is compared by itself, and a difference is named.
        batch_size: rows for which the teacher is asked at once.
        shard_entries: entries of a shard; if 0, whole batches that make up about 16 MiB; less, so that there are about
            64 shards to share, or more, so that there are at most 16,384 files.
        versions: of the libraries.

    Raises:
        ArgumentError: if there is no field, a number is out of range, or a fingerprint is no value of JSON.
    """

    fields: Mapping[str, Field]
    rows: int
    views: int = 1
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 128
    shard_entries: int = 0
    versions: Mapping[str, str] = field(default_factory=library_versions)

    def __post_init__(self) -> None:
        if not self.fields:
            raise ArgumentError(
                "cache: no output to keep; name at least one, as in {'logits': {'use': 'float16'}}",
                code="missing",
                path="fields",
            )
        numbers = (self.rows, self.views, self.batch_size, self.shard_entries)
        if not all(isinstance(number, int) for number in numbers) or min(numbers[:3]) < 1 or self.shard_entries < 0:
            raise ArgumentError(
                f"cache: rows is {self.rows}, views {self.views}, batch_size {self.batch_size} and shard_entries "
                f"{self.shard_entries}; expected whole numbers of at least 1, and at least 0 for the last",
                path="rows" if self.rows < 1 else "views" if self.views < 1 else "batch_size",
            )
        try:
            canonical_hash({"fingerprints": dict(self.fingerprints), "versions": dict(self.versions)})
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"cache: a fingerprint cannot stand in a file ({error}); expected text, finite numbers, lists and "
                "mappings",
                code="wrong_type",
                path="fingerprints",
            ) from error
        for name, (shape, codec) in self.fields.items():
            if not name or min(shape, default=1) < 1:
                raise ArgumentError(
                    f"cache: the output {name!r} has entries of shape {list(shape)}; leave it out",
                    code="wrong_shape",
                    path="fields",
                )
            codec.check(shape)
        if not self.shard_entries:
            object.__setattr__(self, "shard_entries", self._usual_shard())

    def _usual_shard(self) -> int:
        entries = min(_shard_bytes // self.entry_bytes, -(-self.entries // _fewest_shards))
        entries = max(entries, -(-self.entries // _most_shards))
        return -(-max(1, entries) // self.batch_size) * self.batch_size

    @property
    def entries(self) -> int:
        """N V."""
        return self.rows * self.views

    @property
    def entry_bytes(self) -> int:
        """Bytes of one entry, over all fields."""
        return sum(codec.record_bytes(shape) for shape, codec in self.fields.values())

    @property
    def shards(self) -> int:
        """How many shards hold all entries."""
        return -(-self.entries // self.shard_entries)

    def shard(self, number: int) -> range:
        """The entries of a shard; the last may have fewer."""
        first = number * self.shard_entries
        return range(first, min(first + self.shard_entries, self.entries))

    @cached_property
    def plain(self) -> dict[str, Any]:
        """This manifest in the types of JSON."""
        fields = {name: {"shape": list(f.shape), "codec": section_of(f.codec)} for name, f in self.fields.items()}
        return {
            "schema": _schema,
            "rows": self.rows,
            "views": self.views,
            "batch_size": self.batch_size,
            "shard_entries": self.shard_entries,
            "fields": fields,
            "fingerprints": dict(self.fingerprints),
            "versions": dict(self.versions),
        }

    @cached_property
    def key(self) -> str:
        """The sha256 of all that; every shard holds it."""
        return canonical_hash(self.plain)

    def write(self, folder: Path) -> None:
        """Write this manifest into a folder."""
        write_json(folder / _file, self.plain)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder has a manifest."""
        return (folder / _file).exists()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a folder.

        Raises:
            CacheError: if there is none, it is of another schema, or damaged.
        """
        try:
            plain = json.loads((folder / _file).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CacheError(f"{folder} is no cache: it has no {_file}", code="not_found", path=folder) from error
        except (OSError, ValueError) as error:
            raise CacheError(
                f"{folder / _file} cannot be read ({error}); remove {folder} and build the cache again",
                code="unreadable",
                path=folder / _file,
            ) from error
        schema = plain.pop("schema", None) if isinstance(plain, dict) else None
        if schema != _schema:
            raise CacheError(
                f"{folder / _file} has schema {schema!r}, expected {_schema}; remove {folder} and build the "
                "cache again",
                code="changed",
                path=folder / _file,
            )
        try:
            fields = {name: Field(tuple(f["shape"]), codec_of(f["codec"])) for name, f in plain.pop("fields").items()}
            return cls(fields=fields, **plain)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CacheError(
                f"{folder / _file} is damaged ({error}); remove {folder} and build the cache again",
                code="damaged",
                path=folder / _file,
            ) from error


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What differs between two values of JSON, place by place.

    >>> differences({"views": 2, "augment": {"crop": 2}}, {"views": 2, "augment": {"crop": 4}})
    ['augment.crop is 2, expected 4']
    """
    flat_found, flat_expected = dict(_leaves(found, "")), dict(_leaves(expected, ""))
    told = []
    for place in dict.fromkeys([*flat_found, *flat_expected]):
        if place not in flat_expected:
            told.append(f"{place} is {_short(flat_found[place])}, expected none")
        elif place not in flat_found:
            told.append(f"{place} is missing, expected {_short(flat_expected[place])}")
        elif flat_found[place] != flat_expected[place]:
            told.append(f"{place} is {_short(flat_found[place])}, expected {_short(flat_expected[place])}")
    return told


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{place}.{key}" if place else str(key))
    else:
        yield place, list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-10:]}"
