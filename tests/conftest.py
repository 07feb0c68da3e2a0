from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core.ranks import Ranks

# Two threads for each of two test processes slow each other down on two cores. Set before torch is imported, and
# inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module", autouse=True)
def _older_objects_are_left_alone(_all_objects_at_the_end: None) -> None:
    """Every training ends with a full collection, which takes seconds where torch and transformers stand in memory."""
    gc.freeze()


@pytest.fixture(scope="session")
def _all_objects_at_the_end() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Two processes with torch.distributed, started once: importing torch takes longer than all that they do."""
    from core.ranks import Ranks

    pair = Ranks(tmp_path_factory.mktemp("ranks"))
    yield pair
    pair.close()
