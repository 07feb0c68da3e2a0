"""Checkpoints that are whole, named when they are not, and of their own stage."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.errors import RunError
from limbeck.training.checkpoint import Checkpoints, random_state, restore_random_state
from refusals import refused


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", key="key", keep=2)


def state(number: float = 1.0) -> dict[str, object]:
    return {"weights": {"a": torch.full((100,), number)}, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}}


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_the_newest_comes_back(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.newest is None
    for step in (3, 7, 20):
        path = checkpoints.save(step, state(step))
    found = checkpoints.latest()
    assert (found["step"], found["schema"], found["key"]) == (20, 1, "key")
    assert torch.equal(found["weights"]["a"], torch.full((100,), 20.0))
    assert found["optimizer"] == {"state": {0: {"step": torch.tensor(3.0)}}}
    assert checkpoints.newest == path
    assert names(checkpoints) == ["step-00000007.pt", "step-00000020.pt"]


def test_order_is_that_of_steps(checkpoints):
    for step in (9, 10, 99, 100):
        checkpoints.save(step, state())
    assert checkpoints.latest()["step"] == 100


def test_the_best_is_apart_from_the_last_ones(checkpoints):
    checkpoints.save_best({"student": {"a": torch.ones(1)}})
    for step in range(1, 5):
        checkpoints.save(step, state())
    assert checkpoints.best()["student"] == {"a": torch.ones(1)}
    checkpoints.save_best({"student": {"a": torch.zeros(1)}})
    assert checkpoints.best()["student"] == {"a": torch.zeros(1)}
    assert len(names(checkpoints)) == 3


def test_those_of_another_stage_are_passed_over_and_go(checkpoints):
    other = Checkpoints(checkpoints.folder, key="other", keep=2)
    checkpoints.save(1, state())
    for step in (40, 50):
        other.save(step, state())
    assert names(checkpoints) == ["step-00000040.pt", "step-00000050.pt"]
    assert checkpoints.latest() is None
    checkpoints.save(2, state())
    assert names(checkpoints) == ["step-00000002.pt"]
    assert checkpoints.latest()["step"] == 2


def damaged(content: bytes) -> list[bytes]:
    """Cut short, flipped in every part, or something else."""
    flips = []
    for place in range(8, len(content) - 8, 37):
        flipped = bytearray(content)
        flipped[place] ^= 0x55
        flips.append(bytes(flipped))
    cuts = [content[:length] for length in (0, 1, 100, len(content) // 2, len(content) - 1)]
    return [*flips, *cuts, bytes(100), b"text", b"\x80\x02.", b"PK\x03\x04" + bytes(50)]


def test_every_damage_is_refused_by_name(checkpoints):
    path = checkpoints.save(5, state())
    content = path.read_bytes()
    assert torch.equal(checkpoints.latest()["weights"]["a"], torch.ones(100))
    for bad in damaged(content):
        path.write_bytes(bad)
        with refused(RunError, "unreadable", path) as caught:
            checkpoints.latest()
        assert "remove it to go on from the one before" in str(caught.value)


def write(path, content):
    """What `Checkpoints` writes: an archive of torch, and its digest behind it."""
    torch.save(content, path)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.ones(2)])
def test_another_torch_file(checkpoints, content):
    path = checkpoints.save(5, state())
    write(path, content)
    with refused(RunError, "unreadable", path):
        checkpoints.latest()


def test_another_schema(checkpoints):
    path = checkpoints.save(5, state())
    write(path, {"schema": 2, "key": "key"})
    with refused(
        RunError, "changed", path, match=re.escape(f"the checkpoint {path} has schema 2; this version reads 1")
    ):
        checkpoints.latest()


def test_nothing_is_unpickled(checkpoints):
    path = checkpoints.save(5, state())
    write(path, {"schema": 1, "key": "key", "call": os.getcwd})
    with refused(RunError, "unreadable", path):
        checkpoints.latest()


def test_a_full_disk_keeps_what_was_there(checkpoints, monkeypatch):
    checkpoints.save(1, state(1))
    checkpoints.save(2, state(2))
    real = torch.save

    def save(content: object, path: Path) -> None:
        real(content, path)
        os.truncate(path, 50)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    for write in (lambda: checkpoints.save(3, state(3)), lambda: checkpoints.save_best(state(3))):
        with pytest.raises(OSError, match="No space"):
            write()
    assert names(checkpoints) == ["step-00000001.pt", "step-00000002.pt"]
    assert checkpoints.latest()["step"] == 2


def draw() -> list[object]:
    return [
        *torch.rand(3).tolist(),
        *torch.randn(5).tolist(),
        *np.random.normal(size=3).tolist(),
        random.random(),
        random.gauss(0, 1),
    ]


def test_random_state_comes_back_through_a_file(checkpoints):
    draw()
    checkpoints.save(1, {"random": [random_state()]})
    expected = [draw(), draw()]
    restore_random_state(checkpoints.latest()["random"][0])
    assert [draw(), draw()] == expected
