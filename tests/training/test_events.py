"""The log of one training, cut back to where it goes on, and the log of a run."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from limbeck.training.events import EventLog, join_events


def read(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def test_one_object_a_line(path):
    log = EventLog(path)
    for step in range(3):
        log.write({"step": step})
    assert read(path) == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert log.position == path.stat().st_size
    assert log.written() == path.read_bytes()


def test_a_cut_goes_back_to_a_checkpoint(path):
    log = EventLog(path)
    log.write({"step": 0})
    position = log.position
    log.write({"step": 1})
    log.cut(position)
    assert read(path) == [{"step": 0}]
    assert log.written() == b'{"step": 0}\n'
    log.cut(0)
    assert read(path) == []


def test_a_cut_beyond_the_end_adds_nothing(path):
    log = EventLog(path)
    log.cut(100)
    assert path.read_bytes() == b""
    log.write({"step": 0})
    log.cut(1000)
    assert read(path) == [{"step": 0}]


def test_half_a_line_goes(path):
    log = EventLog(path)
    log.write({"step": 0})
    position = log.position
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step"')
    log.cut(position)
    log.write({"step": 1})
    assert read(path) == [{"step": 0}, {"step": 1}]


@pytest.mark.parametrize("before", [None, b"", b'{"step": 0', b'{"step": 9}\n{"step": 8}\n{"step": 7}\n'])
def test_events_of_another_run_take_the_place_of_those_that_are_there(path, before):
    """Nothing is there yet, a line that was being written, or the events of a training of another run."""
    if before is not None:
        path.write_bytes(before)
    EventLog(path).replace(b'{"step": 0}\n{"step": 1}\n')
    assert read(path) == [{"step": 0}, {"step": 1}]


def test_a_log_makes_its_folder(tmp_path):
    log = EventLog(tmp_path / "events" / "student-seed0.jsonl")
    log.cut(0)
    log.write({"step": 0})
    assert read(log.path) == [{"step": 0}]


def test_the_logs_of_several_trainings_are_joined_in_order(tmp_path):
    logs = [EventLog(tmp_path / f"{name}.jsonl") for name in ("teacher", "student")]
    for number, log in enumerate(logs):
        log.write({"step": number})
    file = tmp_path / "events.jsonl"
    join_events(file, reversed(logs))
    assert read(file) == [{"step": 1}, {"step": 0}]
    written = file.stat()
    join_events(file, reversed(logs))
    assert file.stat().st_ino == written.st_ino
    join_events(file, logs[:1])
    assert read(file) == [{"step": 0}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_line_that_is_no_json(path, value):
    log = EventLog(path)
    log.write({"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.write({"loss": value})
    assert read(path) == [{"loss": 1.0}]


def test_a_full_disk_loses_no_line(path, monkeypatch):
    log = EventLog(path)
    log.write({"step": 0})
    position = log.position

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space"):
            log.write({"step": 1})
        with pytest.raises(OSError, match="No space"):
            log.replace(b'{"step": 5}\n')
    assert read(path) == [{"step": 0}]
    assert log.position == position
