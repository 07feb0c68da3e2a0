"""Files that are whole or not there, also on a full disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from limbeck.files import atomic, canonical_hash, file_hash, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing more fits once this is called: half of the text is written."""

    def fill() -> None:
        real = Path.write_text

        def write(path: Path, text: str, **options: str) -> int:
            real(path, text[: len(text) // 2], **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        monkeypatch.setattr(Path, "write_text", write)

    return fill


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a.txt"
    with atomic(path) as beside:
        beside.write_text("new", encoding="utf-8")
        assert not path.exists()
        assert beside.parent == tmp_path
        assert beside.name.startswith(".a.txt.")
        assert beside.name.endswith(".tmp")
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_content(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic(path) as beside:
            beside.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_content(tmp_path, full_disk):
    write_json(tmp_path / "a.json", {"old": 1})
    full_disk()
    for name in ("a.json", "b.json"):
        with pytest.raises(OSError, match="No space left") as caught:
            write_json(tmp_path / name, {"new": list(range(100))})
        assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"old": 1}


def test_a_disk_that_is_full_when_the_data_is_flushed(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old"


def test_the_data_is_on_the_disk_before_its_name_and_the_name_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(f"fsync {os.readlink(f'/proc/self/fd/{fd}')}"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    write_text(tmp_path / "a.txt", "new")
    written, *after = [step.partition(".tmp")[0].split("/")[-1] for step in done]
    assert re.fullmatch(r"\.a\.txt\.[0-9a-f]{32}", written)
    assert after == ["replace", tmp_path.name]


def test_processes_with_one_number_write_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "a.txt"
    with atomic(path) as one, atomic(path) as other:
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
        assert names(tmp_path) == sorted([one.name, other.name])
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text(encoding="utf-8") == "one"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_json_without_a_meaning(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": value})
    assert names(tmp_path) == []


def test_text_is_utf8_and_json_reads_back(tmp_path):
    value = {"ä": [1, 2.5, None, True], "b": {"c": "½"}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8")) == value
    write_text(tmp_path / "a.txt", "½")
    assert (tmp_path / "a.txt").read_bytes() == "½".encode()


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert canonical_hash([1, {"b": None, "a": "x"}]) == hashlib.sha256(b'[1,{"a":"x","b":null}]').hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_hash(float("nan"))
