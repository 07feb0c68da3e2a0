import errno
import multiprocessing
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import limbeck.files
from cache.killing import killed_at, lines_of
from cache.tables import ROWS, TABLES, content, manifest, outputs
from limbeck import registry
from limbeck.cache import CacheReader, Float32, Manifest, build
from limbeck.cache.codecs.codec import Encoded
from limbeck.cache.shards import shard_path
from limbeck.errors import ArgumentError, CacheError
from refusals import refused

ALL = {"logits": {"use": "sampled", "size": 8}, "features": {"use": "int8"}, "tokens": {"use": "topk", "k": 4}}
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
fork = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert build(folder, manifest(ALL), outputs) == (tuple(range(45)), {})
    return folder


def test_a_build_again_writes_nothing_and_asks_nothing(unbroken: Path) -> None:
    def refuse(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        raise AssertionError("asked")

    before = content(unbroken)
    assert build(unbroken, manifest(ALL), refuse) == ((), {})
    assert content(unbroken) == before


def test_the_teacher_is_asked_once_for_every_view_of_every_row_without_gradient(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def asking(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        assert not torch.is_grad_enabled()
        assert len(rows) <= 4
        asked.extend(zip(rows.tolist(), views.tolist(), strict=True))
        return outputs(rows, views)

    build(tmp_path, manifest(), asking)
    assert asked == [(row, view) for view in range(3) for row in range(ROWS)]


def test_progress_counts_entries_of_the_part(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    build(tmp_path, manifest(), outputs, part=(2, 4), progress=lambda *done: told.append(done))
    assert told == [(10 * n, 110) for n in range(1, 12)]
    assert sorted(CacheReader(tmp_path).faults()) == [n for n in range(45) if n % 4 != 2]


@forks
@pytest.mark.parametrize("parts", [[(i, 3) for i in range(3)], [(0, 1), (0, 1)]], ids=["three parts", "one part twice"])
def test_processes_side_by_side_write_what_one_writes(
    unbroken: Path, tmp_path: Path, parts: list[tuple[int, int]]
) -> None:
    folder = tmp_path / "cache"
    processes = [fork.Process(target=build, args=(folder, manifest(ALL), outputs), kwargs={"part": p}) for p in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(parts)
    assert content(folder) == content(unbroken)


@forks
def test_killed_anywhere_it_loses_one_shard_at_most_and_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    plan = manifest({"logits": {"use": "topk", "k": 4}, "features": {"use": "int8"}}, shard_entries=50)
    total = lines_of(lambda: build(tmp_path / "unbroken", plan, outputs))
    for number, point in enumerate(sorted(random.Random(0).sample(range(total), 20))):
        folder = tmp_path / str(number)
        done = killed_at(point, lambda progress, folder=folder: build(folder, plan, outputs, progress=progress))
        left = sorted(CacheReader(folder).faults()) if (folder / "manifest.json").exists() else list(range(9))
        assert left == list(range(9 - len(left), 9))
        assert done - (9 - len(left)) * 50 <= 50
        assert build(folder, plan, outputs).written == tuple(left)
        assert content(folder) == content(tmp_path / "unbroken")


def test_a_file_cut_off_by_a_kill_is_removed_unless_somebody_writes_it(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    dead, living = (tmp_path / "shards" / f".000003.bin.{pid}.tmp" for pid in (1, 2))
    for path in (dead, living):
        path.write_bytes(b"half")
    with limbeck.files.held(living):
        build(tmp_path, manifest(), outputs, part=(1, 2))
    assert (dead.exists(), living.exists()) == (False, True)
    build(tmp_path, manifest(), outputs, part=(0, 2))
    assert living.exists()  # shard 3 is of the other part


def test_a_damaged_shard_is_named_and_only_it_is_written_again(unbroken: Path, tmp_path: Path) -> None:
    whole = content(unbroken)
    build(tmp_path, manifest(ALL), outputs)
    build(tmp_path / "other", manifest(ALL, fingerprints={"teacher": "b2"}), outputs, part=(31, 45))
    other = shard_path(tmp_path / "other", 31)
    damage: list[tuple[int, Callable[[bytes], bytes], str]] = [
        (3, lambda old: old[:-1], "is cut off"),
        (9, lambda old: b"", "is cut off: 0 bytes"),
        (17, lambda old: old + b"x", "is too long"),
        (21, lambda old: old[:200] + bytes([old[200] ^ 1]) + old[201:], "its checksum is another one"),
        (31, lambda old: other.read_bytes(), "is not shard 31 of this cache"),
        (44, lambda old: whole["shards/000030.bin"], "is not shard 44 of this cache"),
    ]
    for number, change, _ in damage:
        path = shard_path(tmp_path, number)
        path.write_bytes(change(path.read_bytes()))
    shard_path(tmp_path, 40).unlink()
    assert sorted(CacheReader(tmp_path).faults()) == [3, 9, 17, 21, 31, 40, 44]
    built = build(tmp_path, manifest(ALL), outputs)
    assert built.written == (3, 9, 17, 21, 31, 40, 44)
    assert sorted(built.mended) == [3, 9, 17, 21, 31, 44]
    for number, _, told in damage:
        assert f"{number:06d}.bin" in built.mended[number]
        assert told in built.mended[number]
    assert {name: value for name, value in content(tmp_path).items() if not name.startswith("other")} == whole


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"views": 2}, ["views is 3, expected 2"]),
        ({"rows": 149}, ["rows is 150, expected 149"]),
        ({"shard_entries": 20}, ["shard_entries is 10, expected 20"]),
        ({"batch_size": 5}, ["batch_size is 4, expected 5"]),
        ({"codecs": {"logits": {"use": "topk", "k": 2}}}, ["codec.use is 'float32', expected 'topk'", "expected 1.0"]),
        ({"codecs": {"tokens": {"use": "float32"}}}, ["fields.logits.shape is [20], expected none", "fields.tokens"]),
        (
            {"fingerprints": {"teacher": "b2", "augment": {"crop": 2, "seed": 1}, "tokenizer": "t"}},
            ["teacher is 'a1', expected 'b2'", "augment.seed is 0, expected 1", "tokenizer is missing, expected 't'"],
        ),
        ({"versions": {"torch": "0.1"}}, ["versions.torch is ", "versions.numpy"]),
    ],
)
def test_another_cache_in_the_folder_is_refused_with_what_differs(
    tmp_path: Path, changes: dict[str, Any], told: list[str]
) -> None:
    build(tmp_path, manifest(), outputs, part=(0, 45))
    before = content(tmp_path)
    with pytest.raises(CacheError) as raised:
        build(tmp_path, manifest(**changes), outputs)
    text = str(raised.value)
    assert text.startswith(f"{tmp_path} holds another cache: ")
    assert all(part in text for part in told)
    assert "\n" not in text
    assert content(tmp_path) == before


def test_a_full_disk_keeps_what_is_written_and_a_build_goes_on(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(limbeck.files.os, "fsync", fsync)
        with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\); make room") as caught:
            build(tmp_path, manifest(ALL), outputs)
    assert caught.value.code == "unwritable"
    missing = sorted(CacheReader(tmp_path).faults())
    assert 1 < missing[0] < 45
    assert missing == list(range(missing[0], 45))
    assert not [name for name in content(tmp_path) if name.endswith(".tmp")]
    read = CacheReader(tmp_path).read(torch.tensor([0]), torch.tensor([0]), ["features"])["features"]
    assert torch.equal(read, CacheReader(unbroken).read(torch.tensor([0]), torch.tensor([0]), ["features"])["features"])
    assert build(tmp_path, manifest(ALL), outputs).written == tuple(missing)
    assert content(tmp_path) == content(unbroken)


def test_two_with_one_process_number_write_one_shard_at_one_moment(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, manifest(ALL), outputs, part=(0, 45))
    both, fsync = threading.Barrier(2), os.fsync

    def meet(descriptor: int) -> None:
        both.wait(60)
        fsync(descriptor)

    # What neither has given its name yet, both have written whole.
    monkeypatch.setattr(limbeck.files.os, "fsync", meet)
    with ThreadPoolExecutor(2) as threads:
        built = [threads.submit(build, tmp_path, manifest(ALL), outputs, part=(1, 45)) for _ in range(2)]
    assert [one.result().written for one in built] == [(1,), (1,)]
    assert shard_path(tmp_path, 1).read_bytes() == shard_path(unbroken, 1).read_bytes()
    assert not [name for name in content(tmp_path) if name.endswith(".tmp")]


def test_a_disk_that_is_full_for_the_last_shard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = shard_path(tmp_path, 44).name

    def replace(beside: Path, path: Path) -> None:
        if path.name == last:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        os.replace(beside, path)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(CacheError, match=r"000044\.bin cannot be written \(Disk quota exceeded\); make room"):
        build(tmp_path, manifest(), outputs)
    assert list(CacheReader(tmp_path).faults()) == [44]


def test_a_shard_is_on_the_disk_as_a_whole_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    with monkeypatch.context() as patch:
        patch.setattr(limbeck.files.os, "fsync", fsync)
        build(tmp_path, manifest(), outputs, part=(0, 45))
    assert shard_path(tmp_path, 0).stat().st_size in synced


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    script = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from cache.tables import manifest, outputs
from limbeck.cache import CacheReader, build
from limbeck.errors import CacheError
folder = Path({str(tmp_path / "small")!r})
try:
    build(folder, manifest(shard_entries=100), outputs)
except CacheError as error:
    print(error)
print(len(CacheReader(folder).faults()), CacheReader(folder).read(torch.tensor([7]), torch.tensor([0]))["logits"].shape)
"""
    (tmp_path / "small").mkdir()
    mounted = f"mount -t tmpfs -o size=28k tmpfs {tmp_path / 'small'}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*inside, mounted], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a small disk")
    command = [*inside, f'{mounted} && exec "$0" -c "$1"', sys.executable, script]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "No space left on device" in told
    assert told.endswith("2 torch.Size([1, 20])\n")


def changed(**values: Tensor | None) -> Callable[[Tensor, Tensor], dict[str, Any]]:
    return lambda rows, views: {**outputs(rows, views), **values}


@pytest.mark.parametrize(
    ("values", "code", "path"),
    [
        ({"logits": None}, "missing", "logits"),
        ({"logits": torch.zeros(4, 21)}, "wrong_shape", "logits"),
        ({"logits": torch.zeros(3, 20)}, "wrong_shape", "logits"),
    ],
)
def test_outputs_that_do_not_fit_are_refused_with_its_place(
    tmp_path: Path, values: dict[str, Tensor | None], code: str, path: str
) -> None:
    with pytest.raises(CacheError) as refused:
        build(tmp_path, manifest(), changed(**values))
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"logits": None}, r"gives 'logits' with shape None for 4 rows; the cache holds \[\*, 20\]"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(tmp_path: Path, values: dict[str, Tensor | None], told: str) -> None:
    with refused(CacheError, "missing", "logits", match=told):
        build(tmp_path, manifest(), changed(**values))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("row", [42, 49])  # in the first and in the last batch of a shard
def test_a_value_that_is_not_finite_is_refused_with_its_row_and_view(tmp_path: Path, bad: float, row: int) -> None:
    def spoilt(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        logits = TABLES["logits"][rows, views].clone()
        logits[(rows == row) & (views == 1), 3] = bad
        return {"logits": logits}

    with refused(
        CacheError, "not_finite", "logits", match=f"gives 'logits' with a NaN or an infinity for view 1 of row {row}"
    ):
        build(tmp_path, manifest(), spoilt)
    assert min(CacheReader(tmp_path).faults()) == (ROWS + row) // 10


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_a_part_out_of_range_is_refused(tmp_path: Path, part: tuple[int, int]) -> None:
    with refused(ArgumentError, "out_of_range", "part"):
        build(tmp_path, manifest(), outputs, part=part)
    assert isinstance(manifest(), Manifest)
    assert not content(tmp_path)


def test_a_teacher_that_answers_into_the_same_memory_is_read_in_time(
    tmp_path: Path,
) -> None:
    answer, asked_again, asked = torch.empty(4, 20), threading.Event(), []

    def again(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        answer[: len(rows)] = TABLES["logits"][rows, views]
        asked.append(rows)
        if len(asked) == 2:
            asked_again.set()
        return {"logits": answer[: len(rows)]}

    with registry.temporary():

        @registry.register("codec", "late")
        class Late(Float32):
            def encode(self, values: Tensor, first: int) -> Encoded:
                assert asked_again.wait(60)
                return super().encode(values, first)

        build(tmp_path, manifest({"logits": {"use": "late"}}), again)
        found = CacheReader(tmp_path).read(torch.arange(4), torch.zeros(4, dtype=torch.int64))["logits"]
    assert torch.equal(found, TABLES["logits"][:4, 0])


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with refused(
        CacheError,
        "unwritable",
        tmp_path / "file",
        match=r"file cannot be written \(Not a directory\); mend that and build again",
    ):
        build(tmp_path / "file", manifest(), outputs)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("limbeck.files.os.fsync", full)
    with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\); make room"):
        build(tmp_path / "cache", manifest(), outputs)
    assert not content(tmp_path / "cache")
