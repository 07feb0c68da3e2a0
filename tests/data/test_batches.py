"""Batches: the same whatever the workers, the chunk, the start and the number of processes."""

import os

import pytest
import torch
from torch.utils.data import Dataset

from limbeck.data import FloatTarget, batches
from limbeck.data.augment import Augment
from limbeck.data.batches import Batches, whole
from limbeck.data.from_dataset import from_dataset
from limbeck.data.plan import Plan
from limbeck.data.rows.images import ImageSet
from limbeck.errors import ArgumentError, DataError
from refusals import refused

EVALUATED = ["inputs", "target", "index", "row", "labelled", "unlabelled", "view"]
KEYS = [*EVALUATED, "class_weight"]
AUGMENT = Augment(flip=True, crop=1, erase=0.5)
# Python 3.12 and later warn of forking a process with threads, which torch's loader does
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Pixels(Dataset):
    """Items made on demand; one of them can be made to fail."""

    def __init__(self, pixels, target):
        self.pixels, self.target, self.broken = pixels, target, None

    def __len__(self):
        return len(self.target)

    def __getitem__(self, row):
        if row == self.broken:
            raise DataError(f"item {row} is gone")
        return self.pixels[row], int(self.target[row])


def make(rows=50, kept=None) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (rows, 1, 6, 5), dtype=torch.uint8, generator=generator)
    data = ImageSet.from_tensor(pixels, torch.arange(rows) % 3, ("a", "b", "c"), start=1000)
    return data if kept is None else data.with_labels(kept, seed=0)[0]


def lazy(data: ImageSet) -> tuple[ImageSet, Pixels]:
    dataset = Pixels(data.images.take(torch.arange(len(data))), data.target)
    images = from_dataset(dataset, classes=data.classes, memory=0)["train"].images
    return ImageSet(images, data.target, data.index, data.classes), dataset


def run(data, *, start=0, stop=13, plan=None, augment=AUGMENT, **options):
    plan = plan or Plan(data.labelled, batch_size=8, seed=1)
    return list(Batches(data, plan, augment, seed=2, **options).iterate(start, stop))


def assert_same(one, other, keys=KEYS):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert list(a) == list(b) == keys
        for key in keys:
            assert a[key].dtype == b[key].dtype
            assert torch.equal(a[key], b[key]), key


@pytest.mark.parametrize("kept", [None, 9])
def test_a_batch_holds_the_rows_of_the_plan(kept):
    data = make(kept=kept)
    plan = Plan(data.labelled, batch_size=8, seed=1)
    for step, batch in enumerate(run(data, plan=plan)):
        rows, views = plan.rows(step)
        assert torch.equal(batch["row"], rows)
        assert torch.equal(batch["view"], views)
        assert torch.equal(batch["target"], data.target[rows])
        assert torch.equal(batch["index"], rows + 1000)
        assert torch.equal(batch["labelled"], data.target[rows] >= 0)
        expected = AUGMENT(data.images.take(rows), rows, views, 2)
        assert batch["inputs"].dtype == torch.float32
        assert torch.equal(batch["inputs"], torch.from_numpy(expected.numpy().astype("float32") / 255))


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (torch.tensor([0.5, torch.nan] * 20), {"targets": (FloatTarget("angle"),)}),
        (torch.tensor([[0.5, torch.nan], [torch.nan] * 2] * 20), {"targets": (FloatTarget("x"), FloatTarget("y"))}),
        (torch.tensor([[1, 0], [-100, -100], [0, 0], [1, 1]] * 10), {"classes": ("a", "b")}),
    ],
    ids=["number", "numbers", "classes"],
)
def test_targets_of_every_kind(target, named):
    """One row of two is not labelled; where rows have classes, one of four, and each stratum has as many rows."""
    data = ImageSet.from_tensor(torch.zeros(40, 1, 2, 2), target, **named)
    for batch in [*run(data, stop=2), *whole(data, 8)]:
        torch.testing.assert_close(batch["target"], target[batch["row"]], rtol=0, atol=0, equal_nan=True)
        unknown = batch["row"] % (4 if "classes" in named else 2) == 1
        assert torch.equal(batch["unlabelled"], unknown)
        assert torch.equal(batch["labelled"], ~unknown)
    assert run(data, stop=1)[0]["class_weight"].tolist() == [1.0] * 8


def test_float_images_are_handed_on_as_they_are():
    pixels = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = ImageSet.from_tensor(pixels, torch.arange(20) % 2, ("a", "b"))
    for batch in run(data, augment=None, stop=2):
        assert torch.equal(batch["inputs"], pixels[batch["row"]])


@pytest.mark.parametrize("kept", [None, 9])
@pytest.mark.parametrize("chunk", [1, 8, 20, 24, 1000])
def test_chunks_do_not_matter(kept, chunk):
    data = make(kept=kept)
    assert_same(run(data, chunk=chunk), run(data))


@pytest.mark.parametrize("start", [0, 1, 5, 6, 12, 13])
def test_any_step_can_be_the_first(start):
    data = make(kept=9)
    assert_same(run(data, start=start, chunk=24), run(data, chunk=24)[start:])


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_processes_share_each_batch_in_contiguous_slices(world):
    data = make(kept=9)
    parts = [run(data, rank=rank, world=world, chunk=24) for rank in range(world)]
    joined = [{key: torch.cat([part[key] for part in step]) for key in KEYS} for step in zip(*parts, strict=True)]
    assert_same(joined, run(data))


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_lazy_images_give_the_same_batches(workers):
    data = make(kept=9)
    assert_same(run(lazy(data)[0], workers=workers), run(data))
    assert_same(list(whole(lazy(data)[0], 16, workers=workers)), list(whole(data, 16)), EVALUATED)


@pytest.mark.parametrize("cores", [{0}, {0, 1}, {0, 1, 2, 3}])
def test_there_are_no_more_workers_than_cores(cores, monkeypatch):
    asked = []

    def loader(jobs, *, num_workers, **_):
        asked.append(num_workers)
        return map(jobs.__getitem__, range(len(jobs)))

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    monkeypatch.setattr(batches, "DataLoader", loader)
    data = make()
    found = run(lazy(data)[0], workers=3)
    assert asked == [min(3, len(cores))]
    assert_same(found, run(data))


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_random_state_is_left_alone(workers):
    before = torch.get_rng_state()
    run(lazy(make())[0], workers=workers)
    list(whole(lazy(make())[0], 16, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_also_from_a_worker(workers):
    data, dataset = lazy(make())
    dataset.broken = 17
    with pytest.raises(DataError) as caught:
        run(data, workers=workers, stop=6)
    assert str(caught.value) == "item 17 is gone"


def test_batches_of_one_chunk_do_not_overlap():
    first, second = run(make(), stop=2)
    kept = second["inputs"].clone()
    first["inputs"].zero_()
    assert torch.equal(second["inputs"], kept)


def test_whole_gives_every_row_once_in_order_unchanged():
    data = make(kept=9)
    batches = list(whole(data, 16))
    assert [len(batch["row"]) for batch in batches] == [16, 16, 16, 2]
    joined = {key: torch.cat([batch[key] for batch in batches]) for key in EVALUATED}
    assert joined["row"].tolist() == list(range(50))
    assert not joined["view"].any()
    assert torch.equal(joined["inputs"], data.images.take(torch.arange(50)).float().div(255))
    assert torch.equal(joined["labelled"], data.labelled)


def test_class_weights_balance_the_classes_of_the_labelled_rows():
    data = make(rows=48, kept=12)
    weights = {}
    for batch in run(data):
        assert (batch["class_weight"][~batch["labelled"]] == 1).all()
        weights |= dict(zip(batch["row"].tolist(), batch["class_weight"].tolist(), strict=True))
    labelled = data.labelled.nonzero().flatten().tolist()
    totals = torch.zeros(3).index_add(0, data.target[labelled], torch.tensor([weights[row] for row in labelled]))
    torch.testing.assert_close(totals, torch.full((3,), 4.0))


def test_class_weights_without_a_label_are_1():
    data = make()
    data = ImageSet(data.images, torch.full_like(data.target, -100), data.index, data.classes)
    assert all((batch["class_weight"] == 1).all() for batch in run(data, stop=2))


def test_whole_of_an_empty_set_is_empty():
    assert list(whole(make().subset(torch.empty(0, dtype=torch.int64)), 16)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": 3}, "batch_size 8 does not divide by the 3 processes"),
        ({"rank": 2, "world": 2}, "rank is 2 of world 2"),
        ({"workers": -1}, "workers is -1"),
        ({"chunk": 0}, "chunk is 0"),
        ({"plan": Plan(torch.ones(49, dtype=torch.bool), batch_size=8, seed=0)}, "the plan is for 49 rows, .* has 50"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        run(make(), **options)


def test_whole_refuses_empty_batches():
    with refused(ArgumentError, "out_of_range", "batch_size"):
        whole(make(), 0)
