"""Finished stages: whole or not there, one of two that finish at once, nothing left behind."""

from __future__ import annotations

import errno
import json
import textwrap
from pathlib import Path

import pytest

from forks import TORCH, forked
from limbeck.training.stage_store import StageStore


def write(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "events.jsonl").write_bytes(b"{}\n")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def store(tmp_path):
    return StageStore(tmp_path / ".stages")


def test_a_published_stage_is_found(store):
    assert store.find("key") is None
    folder = store.publish("key", "teacher", write)
    assert store.find("key") == folder == store.root / "key"
    assert names(store.root) == ["key"]
    manifest = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    assert (manifest["schema"], manifest["key"], manifest["name"]) == (1, "key", "teacher")
    assert sorted(manifest["files"]) == ["events.jsonl", "model.safetensors"]
    assert store.find("other") is None


def test_a_stage_is_forgotten(store):
    store.publish("key", "teacher", write)
    store.drop("key")
    store.drop("never was")
    assert store.find("key") is None


def damage_manifest(content: str):
    return lambda folder: (folder / "stage.json").write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"weighty"),
        lambda folder: (folder / "model.safetensors").write_bytes(b"weight"),
        lambda folder: (folder / "events.jsonl").unlink(),
        lambda folder: (folder / "stage.json").unlink(),
        *map(damage_manifest, ["", "{", "{}", "[]", '{"files": []}', '{"files": {"gone": "0"}}', "null"]),
    ],
)
def test_a_damaged_stage_is_not_found_and_is_replaced(store, damage):
    damage(store.publish("key", "teacher", write))
    assert store.find("key") is None
    store.publish("key", "teacher", write)
    assert (store.find("key") / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(store, error):
    def fail(folder: Path) -> None:
        write(folder)
        raise error

    with pytest.raises(type(error)):
        store.publish("key", "teacher", fail)
    assert names(store.root) == []


def test_a_disk_that_is_full_at_the_manifest(store, monkeypatch):
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        store.publish("key", "teacher", write)
    assert names(store.root) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_fills_is_not(store):
    left = store.root / ".key.999999.tmp"
    left.mkdir(parents=True)
    write(left)
    store.publish("done", "teacher", write)

    def fill(folder: Path) -> None:
        write(folder)
        StageStore(store.root).sweep()
        assert names(store.root) == [folder.name, "done"]

    store.publish("key", "teacher", fill)
    assert names(store.root) == ["done", "key"]


def test_sweeping_where_nothing_is(store):
    store.sweep()
    assert not store.root.exists()


def publish_in_two_processes(root: Path) -> list[str]:
    """Both have filled their folders before either is published."""
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from limbeck.training.stage_store import StageStore
        root, mine, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
        def write(folder):
            (folder / "model.safetensors").write_bytes(b"weights")
            Path(root.parent / mine).touch()
            for _ in range(2000):
                if (root.parent / other).exists():
                    break
                time.sleep(0.005)
        print(StageStore(root).publish("key", mine, write))
    """)
    programs = [(script, ["-c", str(root), *order], {}) for order in (("a", "b"), ("b", "a"))]
    done = forked(*programs, folder=root.parent, modules=TORCH)
    assert [process.returncode for process in done] == [0, 0], done
    return [process.stdout.strip() for process in done]


def test_two_processes_that_finish_the_same_stage_at_once(store):
    store.root.mkdir()
    assert publish_in_two_processes(store.root) == [str(store.root / "key")] * 2
    assert store.find("key") is not None
    assert names(store.root) == ["key"]
