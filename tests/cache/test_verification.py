from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from cache.tables import ROWS, VIEWS, manifest, outputs
from limbeck.cache import CacheReader, build, verify
from limbeck.cache.shards import shard_path
from limbeck.errors import ArgumentError, CacheError
from refusals import refused

CODECS = [
    {"logits": {"use": "float32"}, "features": {"use": "int8"}},
    {"logits": {"use": "float16"}},
    {"logits": {"use": "topk", "k": 4, "temperature": 2.0}, "tokens": {"use": "topk", "k": 25}},
    {"logits": {"use": "sampled", "size": 10}, "tokens": {"use": "sampled", "size": 10}},
]
WHOLE = 10 * ROWS * VIEWS
every = pytest.mark.parametrize("codecs", CODECS, ids=lambda codecs: codecs["logits"]["use"])


def moved(change: Callable[[str, Tensor], Tensor]) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    return lambda rows, views: {name: change(name, value) for name, value in outputs(rows, views).items()}


@every
def test_a_sound_cache_is_sound_also_if_the_teacher_rounds_otherwise(tmp_path: Path, codecs: dict[str, dict]) -> None:
    build(tmp_path, manifest(codecs), outputs)
    for teacher in (outputs, moved(lambda name, value: value * (1 + 1e-6))):
        found = verify(CacheReader(tmp_path), teacher, sample=WHOLE)
        assert found.sound
        assert found.recomputed == ROWS * VIEWS
        assert not any(found.differing.values())


@every
def test_an_entry_that_the_teacher_no_longer_says_is_named(tmp_path: Path, codecs: dict[str, dict]) -> None:
    build(tmp_path, manifest(codecs), outputs)

    def other(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        found = outputs(rows, views)
        there = ((rows == 33) & (views == 1)).nonzero().flatten()
        for value in found.values():
            value[there] = value[there].roll(1, -1)
        return found

    found = verify(CacheReader(tmp_path), other, sample=WHOLE)
    assert found.differing == {name: [(33, 1)] for name in codecs}
    assert not found.sound


def test_another_teacher_is_noticed_in_a_sample(tmp_path: Path) -> None:
    build(tmp_path, manifest(CODECS[0]), outputs)
    found = verify(CacheReader(tmp_path), moved(lambda name, value: value + 0.01 * (name == "logits")), sample=30)
    assert found.recomputed in range(30, 34)
    assert len(found.differing["logits"]) == found.recomputed
    assert not found.differing["features"]
    assert found.largest["logits"] == pytest.approx(0.01, rel=1e-3)


def test_the_sample_follows_the_seed(tmp_path: Path) -> None:
    build(tmp_path, manifest(), outputs)
    asked: list[set[tuple[int, int]]] = []

    def asking(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        asked[-1].update(zip(rows.tolist(), views.tolist(), strict=True))
        return outputs(rows, views)

    for seed in (0, 0, 1):
        asked.append(set())
        verify(CacheReader(tmp_path), asking, sample=20, seed=seed)
    assert asked[0] == asked[1] != asked[2]


def test_damaged_shards_are_named_and_left_out_of_the_sample(tmp_path: Path) -> None:
    build(tmp_path, manifest(), outputs)
    for number in range(3, 45):
        shard_path(tmp_path, number).write_bytes(b"")
    found = verify(CacheReader(tmp_path), outputs, sample=WHOLE)
    assert sorted(found.faults) == list(range(3, 45))
    assert found.recomputed == 30
    assert not found.sound


def test_without_a_teacher_only_checksums_are_looked_at(tmp_path: Path) -> None:
    build(tmp_path, manifest(), outputs)
    found = verify(CacheReader(tmp_path))
    assert found.sound
    assert found.recomputed == 0


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    build(tmp_path, manifest(), outputs)
    for options in ({"sample": 0}, {"tolerance": -1.0}, {"tolerance": float("nan")}):
        with pytest.raises(ArgumentError, match="verify: sample is"):
            verify(CacheReader(tmp_path), outputs, **options)
    with refused(CacheError, "wrong_shape", "logits"):
        verify(CacheReader(tmp_path), moved(lambda name, value: value[..., :2]))
