"""Images in predictions are the images of training, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from limbeck.data import Batches, ImageFolder, Plan
from limbeck.errors import DataError
from limbeck.export.predictors.image_files import read_image

SHAPES = [(30, 50), (17, 17), (8, 64), (200, 3), (16, 16)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for number, (height, width) in enumerate(SHAPES):
        for name, pixels in (("colour", (height, width, 3)), ("grey", (height, width))):
            (folder / name).mkdir(exist_ok=True)
            image = Image.fromarray(draw.integers(0, 256, pixels, dtype=np.uint8))
            image.save(folder / name / f"{number}.{'jpg' if number % 2 else 'png'}")
    return folder


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_are_those_of_a_training_batch(folder: Path, channels: int, mode: str) -> None:
    data = ImageFolder(folder=str(folder), size=16, mode=mode).load()["train"]
    batch = next(Batches(data, Plan(data.labelled, batch_size=len(data), seed=0), seed=0).iterate(0, 1))
    files = [file for kind in ("colour", "grey") for file in sorted((folder / kind).iterdir())]
    assert len(batch["row"]) == len(files) == 2 * len(SHAPES)
    for index, pixels in zip(batch["row"].tolist(), batch["inputs"], strict=True):
        found = read_image(files[index], channels, (16, 16))
        assert found.dtype == np.float32
        assert np.array_equal(found, pixels.numpy())


def test_pixels_are_pillows(folder: Path) -> None:
    with Image.open(folder / "colour" / "0.png") as image:
        fitted = ImageOps.fit(image.convert("RGB"), (20, 12), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 255
    assert np.array_equal(read_image(folder / "colour" / "0.png", 3, (12, 20)), expected.numpy())


def test_what_is_no_image_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png: cannot be read as an image"):
        read_image(tmp_path / "text.png", 3, (4, 4))
    with pytest.raises(DataError, match="takes 2 channels; an image file has 1 or 3"):
        read_image(folder / "colour" / "0.png", 2, (4, 4))
    Image.fromarray(np.zeros((4, 4), np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(tmp_path / "deep.tif", 1, (4, 4))
