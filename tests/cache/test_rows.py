from pathlib import Path

import pytest
import torch

from cache.tables import TABLES, manifest, outputs
from limbeck.cache import CachedRows, CacheReader, build
from limbeck.errors import ArgumentError


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, CacheReader]:
    build(tmp_path / "a", manifest({"logits": {"use": "float32"}, "features": {"use": "float32"}}), outputs)
    build(tmp_path / "b", manifest({"tokens": {"use": "float32"}}), outputs)
    return {"large": CacheReader(tmp_path / "a"), "small": CacheReader(tmp_path / "b")}


def test_every_teacher_says_what_it_said_of_these_views_of_these_rows(stores: dict[str, CacheReader]) -> None:
    cached = CachedRows(stores, {"large": ["logits"]})
    assert (cached.rows, cached.views) == (150, 3)
    rows, views = torch.tensor([7, 149, 7]), torch.tensor([0, 1, 2])
    found = cached(rows, views)
    assert {name: sorted(outputs) for name, outputs in found.items()} == {"large": ["logits"], "small": ["tokens"]}
    torch.testing.assert_close(found["large"]["logits"], TABLES["logits"][rows, views], rtol=0, atol=0)
    torch.testing.assert_close(found["small"]["tokens"], TABLES["tokens"][rows, views], rtol=0, atol=0)


def test_caches_of_other_rows_or_views_do_not_go_together(stores: dict[str, CacheReader], tmp_path: Path) -> None:
    build(tmp_path / "c", manifest(views=2), outputs)
    with pytest.raises(ArgumentError, match=r"different \(rows, views\): {'large': \(150, 3\), 'less': \(150, 2\)}"):
        CachedRows({"large": stores["large"], "less": CacheReader(tmp_path / "c")})
    with pytest.raises(ArgumentError, match=r"different \(rows, views\): {}"):
        CachedRows({})
    with pytest.raises(ArgumentError, match=r"no cache for 'larg'. Did you mean 'large'?"):
        CachedRows(stores, {"larg": ["logits"]})
