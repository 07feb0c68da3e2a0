"""IDX files written here by the format's description, and all the ways in which they go wrong."""

import gzip
import struct

import numpy as np
import pytest
import torch

from limbeck.data.sources.idx import Idx, read_idx
from limbeck.errors import ArgumentError, DataError
from refusals import refused

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def encoded(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def arrays(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(seed).integers(0, 256, (rows, 5, 4)), np.arange(rows) % 3


@pytest.fixture
def folder(tmp_path):
    for part, rows in (("train", 12), ("t10k", 6)):
        images, labels = arrays(rows, seed=rows)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(encoded(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(encoded(labels))
    return tmp_path


def check(data, rows, start):
    images, labels = arrays(rows, seed=rows)
    assert torch.equal(data.images.take(torch.arange(rows))[:, 0], torch.from_numpy(images).to(torch.uint8))
    assert data.target.tolist() == labels.tolist()
    assert data.index.tolist() == list(range(start, start + rows))
    assert data.classes == ("0", "1", "2")


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_folder_gives_training_and_test_rows(folder, gzipped):
    if gzipped:
        for file in list(folder.iterdir()):
            file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    sets = Idx(folder=str(folder)).load()
    check(sets["train"], 12, 0)
    check(sets["test"], 6, 12)


def test_without_test_files_there_is_no_test_set(folder):
    for file in folder.glob("t10k*"):
        file.unlink()
    assert list(Idx(folder=str(folder)).load()) == ["train"]


def test_files_can_be_given_by_name(folder):
    files = {"train_images": str(folder / IMAGES), "train_labels": str(folder / LABELS)}
    sets = Idx(**files).load()
    assert list(sets) == ["train"]
    check(sets["train"], 12, 0)
    swapped = Idx(
        folder=str(folder),
        train_images=str(folder / "t10k-images-idx3-ubyte"),
        train_labels=str(folder / "t10k-labels-idx1-ubyte"),
    )
    check(swapped.load()["train"], 6, 0)


def test_relative_paths_start_at_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    check(Idx(folder=folder.name).load()["train"], 12, 0)


def test_nothing_given_is_refused():
    with refused(ArgumentError, "missing", "folder"):
        Idx(train_images="x")


def refuse(folder, code, file, content, *messages):
    (folder / file).write_bytes(content)
    with pytest.raises(DataError) as caught:
        Idx(folder=str(folder)).load()
    assert caught.value.code == code
    for message in (file, *messages):
        assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", [IMAGES, LABELS])
def test_a_truncated_file_is_refused(folder, file):
    whole = (folder / file).read_bytes()
    refuse(folder, "damaged", file, whole[:-3], f"has {len(whole) - 3} bytes; expected {len(whole)}")


def test_a_file_that_is_too_long_is_refused(folder):
    whole = (folder / IMAGES).read_bytes()
    refuse(folder, "damaged", IMAGES, whole + b"x", f"has {len(whole) + 1} bytes; expected {len(whole)}")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x08\x03\0\0\0\x05"])
def test_a_file_without_a_whole_header_is_refused(folder, content):
    refuse(folder, "unreadable", IMAGES, content, f"has {len(content)} bytes; expected an IDX header, 00 00 08 03")


@pytest.mark.parametrize("magic", ["00000801", "00000d03", "89504e47"])
def test_a_wrong_magic_number_is_refused(folder, magic):
    whole = (folder / IMAGES).read_bytes()
    refuse(folder, "unreadable", IMAGES, bytes.fromhex(magic) + whole[4:], bytes.fromhex(magic).hex(" "), "00 00 08 03")


def test_sizes_beyond_memory_are_refused_without_trying(folder):
    refuse(folder, "damaged", IMAGES, bytes([0, 0, 8, 3]) + b"\xff" * 12, "expected 79228162458924105385300197391")


@pytest.mark.parametrize("harm", ["truncated", "checksum", "body"])
def test_a_corrupt_gzip_is_refused(folder, harm):
    packed = bytearray(gzip.compress((folder / IMAGES).read_bytes(), mtime=0))
    if harm == "truncated":
        del packed[-20:]
    else:
        packed[-6 if harm == "checksum" else 12] ^= 0xFF
    refuse(folder, "unreadable", IMAGES, bytes(packed), "cannot be read", "fetch it again")


def test_numbers_that_differ_are_refused(folder):
    refuse(folder, "mismatch", LABELS, encoded(np.arange(11) % 3), "12 images", "11 labels")


def test_a_missing_file_is_refused(folder):
    (folder / LABELS).unlink()
    with pytest.raises(DataError, match=rf"{LABELS}: not found, nor with \.gz"):
        Idx(folder=str(folder)).load()
    with refused(DataError, "not_found", "no-such-file"):
        Idx(folder=str(folder), train_labels="no-such-file").load()
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / LABELS).write_bytes(encoded(np.arange(12) % 3))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: not found"):
        Idx(folder=str(folder)).load()


def test_one_class_is_refused(folder):
    refused_labels = encoded(np.zeros(12))
    (folder / LABELS).write_bytes(refused_labels)
    for file in folder.glob("t10k*"):
        file.unlink()
    with refused(DataError, "too_few", "classes"):
        Idx(folder=str(folder)).load()


def test_a_test_label_that_training_lacks_is_refused(folder):
    (folder / "t10k-labels-idx1-ubyte").write_bytes(encoded(np.arange(6)))
    with refused(DataError, "unknown_name", "test labels"):
        Idx(folder=str(folder)).load()


def test_the_array_can_be_written_to(folder):
    array = read_idx(folder / LABELS, 1)
    array[0] = 1
    assert array[0] == 1
