from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from core.ranks import Ranks
    from recipes.shell import Shell

# Two threads for each of two test processes slow each other down on two cores. Set before torch is imported, and
# inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Everything that is imported and listed stays: collections of garbage among it would take seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _older_objects_are_left_alone(_all_objects_at_the_end: None) -> None:
    """Every training ends with a full collection, which takes seconds where torch and transformers stand in memory."""
    gc.freeze()


@pytest.fixture(scope="session")
def _all_objects_at_the_end() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _operators_of_onnx_are_listed_once() -> None:
    """At every export torch asks onnxscript for the same list, which takes a quarter of the time of a small one."""
    for name, module in list(sys.modules.items()):
        listing = getattr(module, "get_torchlib_ops", None) if name.startswith("onnxscript._framework_apis.") else None
        if listing is not None and not hasattr(listing, "cache_info"):
            module.get_torchlib_ops = functools.cache(listing)  # type: ignore[attr-defined]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command line in an empty folder."""
    from recipes.shell import Shell

    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Two processes with torch.distributed, started once: importing torch takes longer than all that they do."""
    from core.ranks import Ranks

    pair = Ranks(tmp_path_factory.mktemp("ranks"))
    yield pair
    pair.close()
