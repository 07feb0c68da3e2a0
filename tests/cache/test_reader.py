import copy
import math
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cache.tables import CLASSES, ROWS, TABLES, VIEWS, manifest, outputs
from limbeck.cache import CacheReader, build, library_versions
from limbeck.cache.shards import shard_path, total_bytes
from limbeck.errors import ArgumentError, CacheError
from limbeck.functional import SparseLogits
from refusals import refused

CODECS: dict[str, dict[str, dict[str, Any]]] = {
    "float32": {"logits": {"use": "float32"}, "features": {"use": "float32"}},
    "float16": {"logits": {"use": "float16"}, "features": {"use": "float16"}},
    "int8": {"features": {"use": "int8", "axis": 0}},
    "topk": {"logits": {"use": "topk", "k": 4, "temperature": 2.0}, "tokens": {"use": "topk", "k": 25}},
    "sampled": {"logits": {"use": "sampled", "size": 12, "temperature": 2.0}, "tokens": {"use": "sampled", "size": 8}},
}
DRAWS = 10_000


@pytest.fixture(scope="module", params=CODECS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, CacheReader]:
    folder = tmp_path_factory.mktemp(request.param)
    build(folder, manifest(CODECS[request.param]), outputs)
    return request.param, CacheReader(folder)


class Draws(Dataset[dict[str, Any]]):
    """Batches of random views of random rows."""

    def __init__(self, store: CacheReader) -> None:
        generator = torch.Generator().manual_seed(3)
        self.store = store
        self.rows = torch.randint(ROWS, (DRAWS,), generator=generator).split(64)
        self.views = torch.randint(VIEWS, (DRAWS,), generator=generator).split(64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        rows, views = self.rows[number], self.views[number]
        return {"row": rows, "view": views, "cached": self.store.read(rows, views)}


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker", "ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 3])
def test_10000_draws_in_shuffled_order_through_workers(built: tuple[str, CacheReader], workers: int) -> None:
    name, store = built
    store.read(torch.tensor([0]), torch.tensor([0]))  # mapped before the workers begin
    generator = torch.Generator().manual_seed(4)
    loader = DataLoader(Draws(store), batch_size=None, shuffle=True, num_workers=workers, generator=generator)
    seen = 0
    for batch in loader:
        for field, found in batch["cached"].items():
            check_read(field, found, batch["row"], batch["view"], CODECS[name][field])
        seen += len(batch["row"])
    assert seen == DRAWS


def check_read(field: str, found: Any, rows: Tensor, views: Tensor, codec: Mapping[str, Any]) -> None:
    """Every entry is the one that was asked for, within what its codec promises."""
    live = TABLES[field][rows, views].double()
    if codec["use"] in ("topk", "sampled"):
        assert isinstance(found, SparseLogits)
        assert found.temperature == codec.get("temperature", 1.0)
        check_sparse(found, live / found.temperature, codec["use"])
    else:
        assert found.dtype == torch.float32
        assert ((found.double() - live).abs() <= allowed(codec["use"], field, rows, views)).all()


def allowed(use: str, field: str, rows: Tensor, views: Tensor) -> Tensor:
    live = TABLES[field][rows, views].double()
    if use == "int8":
        by_entry = TABLES[field].transpose(0, 1).flatten(0, 1).split(10)  # as they lie in shards
        ranges = torch.stack([part.amax((0, 2, 3)) - part.amin((0, 2, 3)) for part in by_entry]).double()
        return (ranges[(views * ROWS + rows) // 10] / 510 + 1e-6)[:, :, None, None]
    return torch.zeros_like(live) if use == "float32" else live.abs() * 2.0**-11


def check_sparse(found: SparseLogits, scores: Tensor, use: str) -> None:
    p = scores.softmax(-1)
    kept = p.gather(-1, found.indices)
    if use == "topk":
        expected, there = kept.log(), torch.ones_like(kept, dtype=torch.bool)
        assert torch.equal(kept, p.topk(kept.shape[-1]).values)
        if found.tail is not None:
            assert (found.tail - (1 - kept.sum(-1)).log()).abs().max() < 2**-12 + 1e-6
    else:
        there = found.values.isfinite()
        weight = found.values.gather(-1, there.sum(-1, keepdim=True) - 1)  # those that were drawn come last
        drawn = there & (found.values == weight)
        rest = 1 - kept.where(there & ~drawn, 0).sum(-1, keepdim=True)
        expected = kept.where(~drawn, rest / drawn.sum(-1, keepdim=True)).log()
        assert (kept.log() <= weight + 2**-12)[drawn].all()
    assert (found.values - expected)[there].abs().max() < 2**-12 + 1e-5
    numbered = found.indices.where(there, -torch.arange(1, kept.shape[-1] + 1))
    assert (numbered.sort().values.diff() > 0).all()


def test_the_same_from_a_copy_and_from_a_pickle(built: tuple[str, CacheReader]) -> None:
    _, store = built
    rows, views = torch.tensor([149, 0, 149, 7]), torch.tensor([2, 0, 0, 1])
    expected = store.read(rows, views)
    for other in (copy.deepcopy(store), pickle.loads(pickle.dumps(store)), CacheReader(store.folder)):
        for name, found in other.read(rows, views).items():
            for one, two in zip(leaves(found), leaves(expected[name]), strict=True):
                assert torch.equal(one, two)
    assert len(pickle.dumps(store)) < 10_000


def leaves(value: Any) -> Iterator[Tensor]:
    yield from [value] if isinstance(value, Tensor) else [part for part in value if isinstance(part, Tensor)]


def test_no_rows_give_empty_outputs(built: tuple[str, CacheReader]) -> None:
    _, store = built
    none = torch.zeros(0, dtype=torch.int64)
    for name, found in store.read(none, none).items():
        whole = store.read(torch.tensor([0]), torch.tensor([0]))[name]
        for empty, one in zip(leaves(found), leaves(whole), strict=True):
            assert (empty.shape, empty.dtype) == ((0, *one.shape[1:]), one.dtype)


def test_what_is_read_may_be_changed(built: tuple[str, CacheReader]) -> None:
    _, store = built
    where = torch.tensor([3]), torch.tensor([1])
    before = [leaf.clone() for found in store.read(*where).values() for leaf in leaves(found)]
    for found in store.read(*where).values():
        for leaf in leaves(found):
            leaf.zero_()
    after = [leaf for found in store.read(*where).values() for leaf in leaves(found)]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.fixture
def store(tmp_path: Path) -> CacheReader:
    build(tmp_path, manifest(CODECS["float32"]), outputs)
    return CacheReader(tmp_path)


def test_only_the_fields_asked_for_are_read(store: CacheReader) -> None:
    found = store.read(torch.tensor([5]), torch.tensor([2]), ["features"])
    assert list(found) == ["features"]
    with pytest.raises(ArgumentError, match=r"has no 'logit'. Did you mean 'logits'?"):
        store.read(torch.tensor([5]), torch.tensor([2]), ["logit"])


@pytest.mark.parametrize(
    ("rows", "views", "told"),
    [
        ([0, 150], [0, 0], "rows are 0 to 150, .* holds 0 to 149; read the split it was made of"),
        ([-1, 3], [0, 0], "rows are -1 to 3"),
        ([0, 1], [0, 3], "views are 0 to 3, .* holds 0 to 2; take view modulo that"),
        ([0, 1], [0], r"views are torch.int64 of shape \[1\]; expected one int64 for each row"),
        ([0.0], [0], r"rows are torch.float32 of shape \[1\]"),
        ([[0]], [[0]], r"rows are torch.int64 of shape \[1, 1\]"),
    ],
)
def test_rows_and_views_that_are_not_there_are_refused(store: CacheReader, rows: Any, views: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        store.read(torch.tensor(rows), torch.tensor(views))


def test_a_shard_that_is_missing_cut_off_or_strange_is_named_when_it_is_read(store: CacheReader) -> None:
    other = shard_path(store.folder, 5).read_bytes()
    for change, told in (
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "is cut off"),
        (lambda path: path.write_bytes(other), "is not shard 3 of this cache"),
        (lambda path: path.unlink(), "is missing"),
    ):
        change(shard_path(store.folder, 3))
        fresh = CacheReader(store.folder)
        with refused(CacheError, "damaged", shard_path(store.folder, 3), match=rf"{told}.*build the cache again"):
            fresh.read(torch.tensor([0, 35]), torch.tensor([0, 0]))
        assert torch.equal(fresh.read(torch.tensor([45]), torch.tensor([0]))["logits"][0], TABLES["logits"][45, 0])


def test_every_flipped_bit_is_found(store: CacheReader) -> None:
    path = shard_path(store.folder, 11)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        assert list(store.faults()) == [11]
    path.write_bytes(whole)
    assert store.faults() == {}


def test_what_does_not_fit_is_refused_with_everything_that_differs(store: CacheReader) -> None:
    store.check({"teacher": "a1", "augment": {"crop": 2, "seed": 0}})
    with pytest.raises(CacheError) as raised:
        store.check({"teacher": "b2", "augment": {"crop": 4, "seed": 0}, "data": "d"})
    assert str(raised.value) == (
        f"{store.folder} does not fit: teacher is 'a1', expected 'b2'; augment.crop is 2, expected 4; "
        "data is missing, expected 'd'. Build the cache again"
    )


def test_other_libraries_are_refused(tmp_path: Path) -> None:
    now = library_versions()
    build(tmp_path, manifest(versions={**now, "torch": "99.0"}), outputs)
    store = CacheReader(tmp_path)
    with refused(
        CacheError, "changed", tmp_path, match=rf"versions\.torch is '99\.0', expected '{re.escape(now['torch'])}'"
    ):
        store.check(store.manifest.fingerprints)


def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    with refused(CacheError, "not_found", tmp_path):
        CacheReader(tmp_path)


def test_info_tells_sizes_promises_and_what_was_measured(tmp_path: Path) -> None:
    codecs = {**CODECS["topk"], "features": {"use": "float16"}}
    build(tmp_path, manifest(codecs), outputs)
    store = CacheReader(tmp_path)
    info = store.info()
    files = [path.stat().st_size for path in (tmp_path / "shards").iterdir()]
    assert info["bytes"] == sum(files) == total_bytes(store.manifest)
    assert (info["entries"], info["shards"], info["missing"]) == (ROWS * VIEWS, 45, [])
    logits, tokens, features = (info["fields"][name] for name in ("logits", "tokens", "features"))
    assert logits["bytes_per_entry"] == logits["bytes_per_position"] == math.ceil(4 * 5 / 8) + 2 * 5
    assert tokens["bytes_per_entry"] == 5 * tokens["bytes_per_position"] == 5 * (math.ceil(20 * 5 / 8) + 2 * CLASSES)
    mass = (TABLES["logits"].double() / 2).softmax(-1).topk(4).values.sum(-1).mean()
    assert logits["mass"] == pytest.approx(float(mass), rel=1e-5)
    assert 0 < logits["error"] <= 2**-12 + 1e-6
    exact = TABLES["features"]
    assert features["error"] == float((exact.half().float() - exact).abs().max())
    assert features["mass"] is None
    assert "2^-11" in features["promise"]
    assert features["codec"] == {"use": "float16"}


def test_info_of_a_part(tmp_path: Path) -> None:
    build(tmp_path, manifest(), outputs, part=(0, 45))
    assert CacheReader(tmp_path).info()["missing"] == list(range(1, 45))
    shard_path(tmp_path, 0).unlink()
    assert CacheReader(tmp_path).info()["fields"]["logits"]["error"] is None
