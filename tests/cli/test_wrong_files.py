"""The command line: data and models that cannot be taken are one line that names the file."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes.shell import Shell
from recipes.small import changed

# Data that cannot be learnt from.


def labels(rows: int = 60, classes: int = 3) -> np.ndarray[Any, Any]:
    return np.arange(rows) % classes


def pixels(rows: int = 60) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((rows, 8, 8), dtype=np.float32)


def with_value(value: float) -> np.ndarray[Any, Any]:
    images = pixels()
    images[17, 3, 3] = value
    return images


NPZ: dict[str, tuple[dict[str, np.ndarray[Any, Any]], str, str, str]] = {
    "one class": ({"x": pixels(), "y": np.zeros(60, np.int64)}, "expected at least 2", "too_few", "data.npz"),
    "NaN": ({"x": with_value(float("nan")), "y": labels()}, "image 17 holds NaN or infinity", "not_finite", "data.npz"),
    "infinity": (
        {"x": with_value(float("inf")), "y": labels()},
        "image 17 holds NaN or infinity",
        "not_finite",
        "data.npz",
    ),
    "range": ({"x": with_value(3.0), "y": labels()}, "image 17 holds values", "out_of_range", "data.npz"),
    "other lengths": ({"x": pixels(), "y": labels(59)}, "59", "mismatch", "data.npz"),
    "no labels": ({"x": pixels(), "y": np.full(60, -100)}, "class", "too_few", "data"),
    "unlabelled test rows": (
        {"x_train": pixels(), "y_train": labels(), "x_test": pixels(6), "y_test": np.array([0, 1, 2, -100, 0, 1])},
        "1 of the 6 test rows",
        "missing",
        "data",
    ),
    "no arrays": ({"a": pixels()}, "x_train", "unknown_name", "data.npz"),
    "pickled": ({"x": np.array([{}] * 3, dtype=object), "y": labels(3)}, "without pickle", "unreadable", "data.npz"),
    "few rows": ({"x": pixels(6), "y": labels(6)}, "class", "out_of_range", "data.test"),
}


@pytest.mark.parametrize(("arrays", "told", "code", "path"), NPZ.values(), ids=NPZ)
def test_wrong_arrays_are_one_line(
    shell: Shell, arrays: dict[str, np.ndarray[Any, Any]], told: str, code: str, path: str
) -> None:
    np.savez(shell.folder / "data.npz", **arrays)
    recipe = changed({"data": {"use": "npz", "file": "data.npz"}, "train.batch_size": 8})
    refusal = shell.refusal("run", shell.write(recipe))
    assert told in refusal.message
    assert "data" in refusal.message
    assert (refusal.code, refusal.path) == (code, path)


@pytest.mark.parametrize("content", [None, b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_named(shell: Shell, content: bytes | None) -> None:
    if content is not None:
        (shell.folder / "data.npz").write_bytes(content)
    recipe = changed({"data": {"use": "npz", "file": "data.npz"}})
    refusal = shell.refusal("run", shell.write(recipe))
    assert (refusal.code, refusal.path) == ("not_found" if content is None else "unreadable", "data.npz")


def write_idx(folder: Path, wrong: str) -> None:
    folder.mkdir()
    images = struct.pack(">4I", 0x803, 40, 8, 8) + bytes(40 * 64)
    names = struct.pack(">2I", 0x801, 40) + bytes(number % 2 for number in range(40))
    if wrong == "truncated images":
        images = images[:-1]
    if wrong == "truncated labels":
        names = names[:5]
    if wrong == "empty":
        images = b""
    if wrong == "magic":
        images = b"\x01" + images[1:]
    if wrong == "other lengths":
        names = struct.pack(">2I", 0x801, 39) + names[8:-1]
    if wrong != "no images":
        (folder / "train-images-idx3-ubyte").write_bytes(images)
    if wrong in ("corrupt gz", "cut gz"):
        (folder / "train-images-idx3-ubyte").unlink()
        packed = gzip.compress(images)
        packed = packed[: len(packed) // 2] if wrong == "cut gz" else b"\x00" * 10 + packed[10:]
        (folder / "train-images-idx3-ubyte.gz").write_bytes(packed)
    (folder / "train-labels-idx1-ubyte").write_bytes(names)


@pytest.mark.parametrize(
    ("wrong", "code", "file"),
    [
        ("truncated images", "damaged", "train-images-idx3-ubyte"),
        ("truncated labels", "unreadable", "train-labels-idx1-ubyte"),
        ("empty", "unreadable", "train-images-idx3-ubyte"),
        ("magic", "unreadable", "train-images-idx3-ubyte"),
        ("other lengths", "mismatch", "train-images-idx3-ubyte"),
        ("no images", "not_found", "train-images-idx3-ubyte"),
        ("corrupt gz", "unreadable", "train-images-idx3-ubyte.gz"),
        ("cut gz", "unreadable", "train-images-idx3-ubyte.gz"),
    ],
)
def test_a_wrong_idx_file_is_named(shell: Shell, wrong: str, code: str, file: str) -> None:
    write_idx(shell.folder / "idx", wrong)
    refusal = shell.refusal("run", shell.write(changed({"data": {"use": "idx", "folder": "idx"}})))
    assert (refusal.code, refusal.path) == (code, f"idx/{file}")
    assert refusal.path in refusal.message


def test_a_folder_of_idx_files_that_is_not_there_is_named(shell: Shell) -> None:
    assert "nowhere" in shell.refused("run", shell.write(changed({"data": {"use": "idx", "folder": "nowhere"}})))


@pytest.mark.parametrize(
    ("wrong", "told", "code", "path"),
    [
        ("missing", "pictures: not found", "not_found", "pictures"),
        ("empty", "no sub-folders", "missing", "pictures"),
        ("no image", "cannot be read as an image", "unreadable", "pictures/cat/3.png"),
        ("cut", "cannot be read as an image", "unreadable", "pictures/cat/3.png"),
    ],
)
@pytest.mark.parametrize("memory", [2**30, 0])
def test_a_wrong_folder_of_images_is_named(
    shell: Shell, wrong: str, told: str, code: str, path: str, memory: int
) -> None:
    folder = shell.folder / "pictures"
    if wrong != "missing":
        folder.mkdir()
    for name in ("cat", "dog") if wrong in ("no image", "cut") else ():
        (folder / name).mkdir()
        for number in range(8):
            noise = np.random.default_rng(number).integers(256, size=(30, 30), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
    file = folder / "cat/3.png"
    if wrong == "no image":
        file.write_text("a text", encoding="utf-8")
    if wrong == "cut":
        file.write_bytes(file.read_bytes()[: 20 if memory == 0 else 500])
    data = {"use": "image_folder", "folder": "pictures", "size": 8, "memory": memory}
    refusal = shell.refusal("run", shell.write(changed({"data": data})))
    assert told in refusal.message
    assert (refusal.code, refusal.path) == (code, path)


# Models that cannot be taken.


def write_run(folder: Path, config: dict[str, Any]) -> None:
    place = folder / "before/models/student"
    place.mkdir(parents=True)
    model = {"use": "mlp", "width": 8, "depth": 1, "dropout": 0.0, "checkpoint": None}
    whole = {"schema": 1, "model": model, "classes": list("0123456789"), "input": {"channels": 1, "size": [8, 8]}}
    (place / "config.json").write_text(json.dumps({**whole, **config}), encoding="utf-8")
    (place / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("config", "told", "code", "path"),
    [
        (
            {"classes": ["cat", "dog"]},
            "knows 2 classes (cat, dog), the data has 10 classes (0, 1, 2, 3, …)",
            "mismatch",
            "models.teacher",
        ),
        ({"classes": list("abcdefghij")}, "teacher and student need the same", "mismatch", "models.teacher"),
        ({"classes": 5}, "no finished model", "unreadable", "models.teacher"),
        ({"model": None}, "given in Python", "missing", "models.teacher"),
        ({"model": {}}, "no finished model", "unreadable", "models.teacher"),
        ({"model": {"use": "gone"}}, "no model 'gone'", "unknown_name", "models.teacher"),
        ({"model": {"use": "mlp", "old": 1}}, "'old'", "failed", "models.teacher"),
        ({}, "not a readable safetensors file", "unreadable", "models.teacher"),
    ],
)
def test_a_model_of_a_run_that_does_not_fit(
    shell: Shell, config: dict[str, Any], told: str, code: str, path: str
) -> None:
    write_run(shell.folder, config)
    refusal = shell.refusal("run", shell.write(changed({"models.teacher": {"run": "before"}})))
    assert told in refusal.message
    assert "models.teacher" in refusal.message
    assert (refusal.code, refusal.path) == (code, path)


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"model": null}', "\0"])
def test_a_run_that_is_none(shell: Shell, content: str | None) -> None:
    if content is not None:
        (shell.folder / "before/models/student").mkdir(parents=True)
        (shell.folder / "before/models/student/config.json").write_text(content, encoding="utf-8")
    refusal = shell.refusal("run", shell.write(changed({"models.teacher": {"run": "before"}})))
    assert "no finished model in before/models/student" in refusal.message
    assert (refusal.code, refusal.path) == ("not_found" if content is None else "unreadable", "models.teacher")


@pytest.mark.parametrize(("name", "content"), [("gone.pt", None), ("wrong.pt", b"x"), ("wrong.safetensors", b"x")])
@pytest.mark.parametrize("model", ["teacher", "student"])
def test_a_checkpoint_that_cannot_be_read(shell: Shell, name: str, content: bytes | None, model: str) -> None:
    if content is not None:
        (shell.folder / name).write_bytes(content)
    recipe = changed({f"models.{model}": {"use": "mlp", "checkpoint": name}})
    refusal = shell.refusal("run", shell.write(recipe))
    code = "not_found" if content is None else "unreadable"
    assert (refusal.code, refusal.path) == (code, f"models.{model}.checkpoint")
    assert name in refusal.message
