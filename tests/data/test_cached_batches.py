"""Batches that carry what a teacher said: of these very rows, and of the pixels that the student sees.

The teacher repeats the pixels that it is shown, and no two rows are alike: any other row, view or augmentation differs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from limbeck.cache import CachedRows, CacheReader, Manifest, build, fields_of
from limbeck.data import Augment, Batches, ImageSet, Plan, from_dataset
from limbeck.errors import ArgumentError, CacheError
from limbeck.training.micro_batches import micro_batches
from refusals import refused

ROWS, SIZE, SEED = 200, 16, 3
AUGMENT = Augment(flip=True, crop=1, erase=0.5)
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Items(Dataset[tuple[Tensor, int]]):
    def __init__(self, shown: Tensor) -> None:
        self.shown = shown

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.shown[row], row % 3


def images(*, in_memory: bool, labels: int | None) -> ImageSet:
    shown = torch.randint(0, 256, (ROWS, 1, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageSet.from_tensor(shown, torch.arange(ROWS) % 3, ("a", "b", "c"))
    if not in_memory:
        read = from_dataset(Items(shown), classes=data.classes, memory=0)["train"].images
        data = ImageSet(read, data.target, data.index, data.classes)
    return data if labels is None else data.with_labels(labels, seed=0)[0]


def repeating(data: ImageSet, augment: Augment) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    batches = Batches(data, Plan(data.labelled, batch_size=SIZE, seed=1), augment, seed=SEED)

    def said(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        seen = batches.view(rows, views)["inputs"]
        return {"logits": seen.flatten(1), "map": seen}

    return said


def cache(folder: Path, data: ImageSet, augment: Augment, views: int, codecs: dict[str, str]) -> CachedRows:
    said = repeating(data, augment)
    first = said(torch.tensor([0]), torch.tensor([0]))
    fields = fields_of(first, {name: {"use": codec} for name, codec in codecs.items()})
    build(folder, Manifest(fields, rows=len(data), views=views, batch_size=7, shard_entries=35), said)
    return CachedRows({"teacher": CacheReader(folder)})


@forks
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("workers", [None, 0, 2], ids=["memory", "lazy", "workers"])
@pytest.mark.parametrize("labels", [None, 40], ids=["all", "some"])
@pytest.mark.parametrize("views", [None, 4], ids=["plain", "views"])
@pytest.mark.parametrize("draws", [800, pytest.param(10_000, marks=pytest.mark.soak)])
def test_draws_are_of_the_rows_and_pixels_that_the_student_sees(
    tmp_path: Path, draws: int, views: int | None, labels: int | None, workers: int | None, world: int, accumulate: int
) -> None:
    augment = Augment() if views is None else AUGMENT
    data = images(in_memory=workers is None, labels=labels)
    cached = cache(tmp_path, data, augment, views or 1, {"logits": "float32", "map": "float16"})
    plan = Plan(data.labelled, batch_size=SIZE, seed=1)
    # Begun in the middle of an epoch, as a resumed run does, and of a chunk.
    spans = [(0, 5), (5, 7), (7, draws // SIZE)]
    drawn, seen = 0, set()
    for rank in range(world):
        batches = Batches(
            data, plan, augment, seed=SEED, workers=workers or 0, rank=rank, world=world, views=views, cached=cached
        )
        for start, stop in spans:
            for batch in batches.iterate(start, stop):
                for part in micro_batches(batch, accumulate, torch.device("cpu")):
                    said = part["cached"]["teacher"]
                    assert torch.equal(said["logits"], part["inputs"].flatten(1))
                    assert (said["map"] - part["inputs"]).abs().max() <= 2.0**-11
                    drawn += len(part["row"])
                    seen |= set(zip(part["row"].tolist(), part["view"].tolist(), strict=True))
    assert drawn == draws
    assert views is None or {view for _, view in seen} == set(range(views))


def test_without_augmentation_the_views_of_a_batch_stay_those_of_the_plan(tmp_path: Path) -> None:
    data = images(in_memory=True, labels=None)
    plan = Plan(data.labelled, batch_size=SIZE, seed=1)
    cached = cache(tmp_path, data, Augment(), 1, {"logits": "float32"})
    plain = list(Batches(data, plan, seed=SEED).iterate(0, 30))
    for batch, other in zip(Batches(data, plan, seed=SEED, cached=cached).iterate(0, 30), plain, strict=True):
        assert {name: torch.equal(batch[name], other[name]) for name in other} == dict.fromkeys(other, True)
        assert list(batch) == [*other, "cached"]


def test_views_repeat_what_was_seen(tmp_path: Path) -> None:
    data = images(in_memory=True, labels=None)
    plan = Plan(data.labelled, batch_size=ROWS, seed=1)
    seen = list(Batches(data, plan, AUGMENT, seed=SEED, views=2).iterate(0, 4))
    ordered = [batch["inputs"][batch["row"].argsort()] for batch in seen]
    assert [int(batch["view"][0]) for batch in seen] == [0, 1, 0, 1]
    assert torch.equal(ordered[0], ordered[2])
    assert torch.equal(ordered[1], ordered[3])
    assert not torch.equal(ordered[0], ordered[1])


@pytest.mark.parametrize(("augment", "views", "rows"), [(AUGMENT, None, ROWS), (AUGMENT, 3, ROWS), (None, None, 100)])
def test_caches_of_other_looks_or_rows_are_refused(
    tmp_path: Path, augment: Augment | None, views: int | None, rows: int
) -> None:
    data = images(in_memory=True, labels=None)
    cached = cache(tmp_path, data.subset(torch.arange(rows)), Augment(), 2 if augment else 1, {"logits": "float32"})
    with refused(ArgumentError, "mismatch", "cached"):
        Batches(data, Plan(data.labelled, batch_size=8, seed=1), augment, seed=SEED, views=views, cached=cached)


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_shard_is_one_line_also_from_a_worker(tmp_path: Path, workers: int) -> None:
    data = images(in_memory=False, labels=None)
    cached = cache(tmp_path, data, Augment(), 1, {"logits": "float32"})
    shard = tmp_path / "shards" / "000002.bin"
    shard.unlink()
    batches = Batches(data, Plan(data.labelled, batch_size=8, seed=1), seed=SEED, workers=workers, cached=cached)
    with pytest.raises(CacheError) as caught:
        list(batches.iterate(0, 25))
    assert str(caught.value) == f"{shard} is missing; build the cache again, which writes what is missing"
