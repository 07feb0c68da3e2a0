"""Folders of image files: which files count, how they are scaled, and which file is named when one is bad."""

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.data.files import FileImages
from limbeck.data.pixels import MemoryImages
from limbeck.data.sources.image_folder import ImageFolder
from limbeck.errors import ArgumentError, DataError
from refusals import refused

LAZY = {"memory": 0}


def write(file, size=(8, 8), mode="RGB", seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    Image.fromarray(values).save(file)
    return values


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["dog/1.png", "dog/0.PNG", "cat/a.bmp", "cat/b.png", "cat/c.ppm"]):
        write(tmp_path / name, seed=number)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / ".hidden.png").write_text("no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README").write_text("no folder")
    return tmp_path


def pixels(data):
    return data.images.take(torch.arange(len(data)))


@pytest.mark.parametrize("options", [{}, LAZY], ids=["memory", "lazy"])
def test_classes_and_files_are_sorted(folder, options):
    sets = ImageFolder(folder=str(folder), size=8, **options).load()
    assert list(sets) == ["train"]
    data = sets["train"]
    assert data.classes == ("cat", "dog")
    assert data.target.tolist() == [0, 0, 0, 1, 1]
    assert data.index.tolist() == list(range(5))
    names = ["cat/a.bmp", "cat/b.png", "cat/c.ppm", "dog/0.PNG", "dog/1.png"]
    expected = np.stack([np.array(Image.open(folder / name)) for name in names]).transpose(0, 3, 1, 2)
    assert (pixels(data).numpy() == expected).all()


def test_a_byte_limit_decides_what_is_held_in_memory(folder):
    size = 5 * 3 * 8 * 8
    held, lazy = (ImageFolder(folder=str(folder), size=8, memory=m).load()["train"] for m in (size, size - 1))
    assert isinstance(held.images, MemoryImages)
    assert isinstance(lazy.images, FileImages)
    assert lazy.shape == held.shape == (3, 8, 8)
    assert torch.equal(pixels(lazy.subset(torch.tensor([3, 1]))), pixels(held)[[3, 1]])


def test_images_are_cut_to_a_square_and_scaled(tmp_path):
    wide = np.zeros((4, 16, 3), dtype=np.uint8)
    wide[:, 4:12] = 200
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(wide).save(tmp_path / name / "wide.png")
    data = ImageFolder(folder=str(tmp_path), size=2).load()["train"]
    assert torch.equal(pixels(data), torch.full((2, 3, 2, 2), 200, dtype=torch.uint8))


def test_grey_and_transparent_images_are_converted(tmp_path):
    grey = write(tmp_path / "a" / "grey.png", mode="L")
    clear = write(tmp_path / "b" / "clear.png", mode="RGBA")
    colour = pixels(ImageFolder(folder=str(tmp_path), size=8).load()["train"]).numpy()
    assert (colour[0] == grey).all()
    assert (colour[1] == clear[..., :3].transpose(2, 0, 1)).all()
    single = ImageFolder(folder=str(tmp_path), size=8, mode="L").load()["train"]
    assert single.shape == (1, 8, 8)
    assert (pixels(single)[0, 0].numpy() == grey).all()


@pytest.mark.parametrize(
    ("folders", "sets"),
    [
        (["train"], {"train": "train"}),
        (["train", "test"], {"train": "train", "test": "test"}),
        (["train", "val"], {"train": "train", "test": "val"}),
        (["train", "val", "test"], {"train": "train", "test": "test", "validation": "val"}),
    ],
)
def test_folders_of_splits(tmp_path, folders, sets):
    for number, part in enumerate(folders):
        for name in ("a", "b"):
            for file in range(number + 1):
                write(tmp_path / part / name / f"{file}.png")
    loaded = ImageFolder(folder=str(tmp_path), size=8).load()
    assert {name: len(data) for name, data in loaded.items()} == {
        name: 2 * (folders.index(part) + 1) for name, part in sets.items()
    }
    index = torch.cat([data.index for data in loaded.values()])
    assert index.tolist() == list(range(len(index)))


def test_a_class_may_be_called_train(tmp_path):
    for name in ("car", "train"):
        write(tmp_path / name / "0.png")
    assert ImageFolder(folder=str(tmp_path), size=8).load()["train"].classes == ("car", "train")


def test_the_fingerprint_covers_names_and_bytes(folder):
    def fingerprint(**options):
        return ImageFolder(folder=str(folder), **{"size": 8, **LAZY, **options}).load()["train"].fingerprint()

    prints = [fingerprint(), fingerprint(size=4), fingerprint(mode="L")]
    write(folder / "cat" / "b.png", seed=9)
    prints.append(fingerprint())
    (folder / "cat" / "b.png").rename(folder / "cat" / "d.png")
    prints.append(fingerprint())
    assert len(set(prints)) == 5
    assert fingerprint() == prints[-1]


@pytest.mark.parametrize("content", ["empty", "text", "truncated"])
def test_an_unreadable_image_is_named(folder, content):
    file = folder / "cat" / "b.png"
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "text": b"no image", "truncated": whole[: len(whole) // 2]}[content])
    with pytest.raises(DataError, match=r"cat/b\.png: cannot be read as an image") as caught:
        ImageFolder(folder=str(folder), size=8).load()
    assert "\n" not in str(caught.value)
    if content == "truncated":
        lazy = ImageFolder(folder=str(folder), size=8, **LAZY).load()["train"]
        with pytest.raises(DataError, match=r"cat/b\.png: cannot be read as an image"):
            pixels(lazy)
    else:
        with pytest.raises(DataError, match=r"cat/b\.png: cannot be read as an image"):
            ImageFolder(folder=str(folder), size=8, **LAZY).load()


def test_an_image_that_goes_away_is_named(folder):
    data = ImageFolder(folder=str(folder), size=8, **LAZY).load()["train"]
    (folder / "cat" / "b.png").unlink()
    for ask in (data.fingerprint, lambda: pixels(data)):
        with pytest.raises(DataError, match=r"cat/b\.png: cannot be read as an image"):
            ask()


def test_more_than_eight_bits_are_refused_rather_than_clipped(folder):
    Image.fromarray(np.full((8, 8), 4000, dtype=np.uint16)).save(folder / "cat" / "b.png")
    with pytest.raises(DataError, match=r"cat/b\.png: .* more than 8 bits per value"):
        ImageFolder(folder=str(folder), size=8).load()


def test_folders_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: not found"):
        ImageFolder(folder=str(tmp_path / "nowhere"), size=8).load()
    with pytest.raises(DataError, match="has no sub-folders; expected one per class"):
        ImageFolder(folder=str(tmp_path), size=8).load()
    write(tmp_path / "a" / "0.png")
    with refused(DataError, "too_few", "classes"):
        ImageFolder(folder=str(tmp_path), size=8).load()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"b: holds no image files"):
        ImageFolder(folder=str(tmp_path), size=8).load()


def test_splits_with_other_classes_are_refused(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        write(tmp_path / name / "0.png")
    with pytest.raises(DataError, match=r"test: has classes \('a', 'c'\); expected those of training, \('a', 'b'\)"):
        ImageFolder(folder=str(tmp_path), size=8).load()


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 8, "memory": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ArgumentError, match="expected at least 1 pixel and at least 0 bytes"):
        ImageFolder(folder="x", **options)
