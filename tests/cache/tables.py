"""A teacher that is a table: what it says of each view of each row is known, and no two are alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.cache import Manifest, fields_of

ROWS, VIEWS, CLASSES = 150, 3, 20


def _table(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(ROWS, VIEWS, *shape, generator=torch.Generator().manual_seed(seed))


TABLES = {"logits": _table(CLASSES, seed=0), "features": _table(4, 2, 3, seed=1), "tokens": _table(5, CLASSES, seed=2)}


def outputs(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
    """What the teacher says."""
    return {name: table[rows, views] for name, table in TABLES.items()}


def manifest(codecs: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> Manifest:
    """45 shards of 10 entries, written in batches of 4."""
    first = outputs(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    fields = fields_of(first, codecs or {"logits": {"use": "float32"}})
    plan: dict[str, Any] = {"rows": ROWS, "views": VIEWS, "batch_size": 4, "shard_entries": 10}
    plan["fingerprints"] = {"teacher": "a1", "augment": {"crop": 2, "seed": 0}}
    return Manifest(fields, **{**plan, **changes})


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a cache, also what begins with a dot."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
