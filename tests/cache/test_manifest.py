import json
from pathlib import Path

import pytest
import torch

from cache.tables import manifest, outputs
from limbeck.cache import Float32, Manifest, fields_of
from limbeck.cache.manifest import Field
from limbeck.errors import ArgumentError, CacheError
from refusals import refused

WIDE = {"logits": Field((1000,), Float32())}


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    written = manifest({"tokens": {"use": "topk", "k": 3, "temperature": 2.0}, "features": {"use": "int8"}})
    written.write(tmp_path)
    read = Manifest.read(tmp_path)
    assert read == written
    assert read.key == written.key
    assert json.loads((tmp_path / "manifest.json").read_text())["schema"] == 1


def test_every_part_of_it_is_in_the_key() -> None:
    whole = manifest()
    others = [
        manifest({"logits": {"use": "float16"}}),
        manifest({"tokens": {"use": "float32"}}),
        manifest(rows=149),
        manifest(views=2),
        manifest(batch_size=5),
        manifest(shard_entries=9),
        manifest(fingerprints={"teacher": "b2"}),
        manifest(versions={"torch": "0"}),
    ]
    assert len({whole.key, *(other.key for other in others)}) == 9
    assert manifest().key == whole.key


@pytest.mark.parametrize(
    ("rows", "views", "fields", "entries"),
    [
        (60_000, 1, WIDE, 1_024),  # about 64 shards, in whole batches of 128
        (1_281_167, 10, WIDE, 4_224),  # 16 MiB
        (10**9, 10, WIDE, 610_432),  # 16,384 files
        (100, 1, WIDE, 128),
        (10_000, 1, {"logits": Field((2**23,), Float32())}, 128),  # at least one batch
    ],
)
def test_the_usual_size_of_a_shard(rows: int, views: int, fields: dict[str, Field], entries: int) -> None:
    plan = Manifest(fields, rows=rows, views=views)
    assert plan.shard_entries == entries
    assert plan.shards <= 2**14
    assert sum(len(plan.shard(number)) for number in (0, plan.shards - 1)) > 0
    assert plan.shard(plan.shards - 1).stop == rows * views


def test_fields_are_those_of_the_teacher() -> None:
    found = outputs(torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    fields = fields_of(found, {"tokens": {"use": "float16"}})
    assert [(name, field.shape) for name, field in fields.items()] == [("tokens", (5, 20))]
    with pytest.raises(ArgumentError, match=r"the teacher has no output 'logit'. Did you mean 'logits'?"):
        fields_of(found, {"logit": {"use": "float16"}})
    with pytest.raises(ArgumentError, match="'mask' is no floating tensor"):
        fields_of({"mask": torch.zeros(2, 5, dtype=torch.bool)}, {"mask": {"use": "float16"}})
    with pytest.raises(ArgumentError, match=r"int8: axis is 3"):
        fields_of(found, {"tokens": {"use": "int8", "axis": 3}})


def test_plans_that_cannot_be_are_refused() -> None:
    with refused(ArgumentError, "missing", "fields"):
        Manifest({}, rows=3)
    with refused(ArgumentError, "out_of_range", "rows"):
        Manifest(WIDE, rows=0)
    with refused(ArgumentError, "wrong_shape", "fields"):
        Manifest({"logits": Field((0,), Float32())}, rows=3)
    with refused(ArgumentError, "out_of_range", "batch_size"):
        Manifest(WIDE, rows=3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [Path("data"), float("nan"), torch.float32, {1, 2}])
def test_fingerprints_that_no_file_can_hold_are_refused(value: object) -> None:
    with refused(ArgumentError, "wrong_type", "fingerprints", match="a fingerprint cannot stand in a file"):
        Manifest(WIDE, rows=3, fingerprints={"data": {"source": value}})


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        ("{", "cannot be read", "unreadable"),
        ("[]", "has schema None, expected 1", "changed"),
        ('{"schema": 2}', "has schema 2, expected 1", "changed"),
        ('{"schema": 1, "rows": 3}', "is damaged", "damaged"),
        (
            '{"schema": 1, "rows": 3.5, "fields": {"a": {"shape": [2], "codec": {"use": "float32"}}}}',
            "is damaged",
            "damaged",
        ),
        (
            '{"schema": 1, "rows": 3, "versions": null, "fields": {"a": {"shape": [2], "codec": {"use": "float32"}}}}',
            "is damaged",
            "damaged",
        ),
        (
            '{"schema": 1, "rows": 3, "fields": {"a": {"shape": [9], "codec": {"use": "topk", "k": 2.5}}}}',
            "is damaged",
            "damaged",
        ),
        (
            '{"schema": 1, "rows": 3, "fields": {"a": {"shape": [2], "codec": {"use": "float9"}}}}',
            "is damaged",
            "damaged",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, told: str, code: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    file = tmp_path / "manifest.json"
    with refused(CacheError, code, file, match=rf"manifest\.json {told}.*remove {tmp_path} and build the cache again$"):
        Manifest.read(tmp_path)
