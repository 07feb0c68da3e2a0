"""Words and tags of every kind of file, and what is refused or skipped of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch

from data.record_files import sentences
from limbeck.data import TagSet
from limbeck.errors import DataError
from refusals import refused

ROWS = [
    (["Ann", "met", "Bo"], ["B-PER", "O", "B-PER"]),
    (["New", "York", "slept"], ["B-LOC", "I-LOC", "O"]),
    (["nothing"], ["O"]),
]
CLASSES = ("B-LOC", "B-PER", "I-LOC", "O")


def json_file(file: Path, rows: Sequence[Any]) -> Path:
    lines = [json.dumps(row) if not isinstance(row, bytes) else "" for row in rows]
    content = [row if isinstance(row, bytes) else line.encode() for row, line in zip(rows, lines, strict=True)]
    file.write_bytes(b"\n".join(content))
    return file


def named(rows: Sequence[tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [{"words": words, "tags": tags} for words, tags in rows]


def conll_file(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def jsonl(folder: Path) -> Any:
    return sentences("jsonl", file=str(json_file(folder / "rows.jsonl", named(ROWS))))


def parquet_source(folder: Path) -> Any:
    parquet.write_table(arrow.Table.from_pylist(named(ROWS)), folder / "rows.parquet")
    return sentences("parquet", file=str(folder / "rows.parquet"))


def conll(folder: Path) -> Any:
    blocks = ["\n".join(f"{word} X {tag}" for word, tag in zip(*row, strict=True)) for row in ROWS]
    text = "\ufeff-DOCSTART- X O\n\n" + "\n\n\n".join(blocks)
    return sentences("conll", file=str(conll_file(folder / "rows.conll", text)))


def tabbed(folder: Path) -> Any:
    blocks = ["\n".join(f"{tag}\t{word}" for word, tag in zip(*row, strict=True)) for row in ROWS]
    file = conll_file(folder / "rows.tsv", "\n\n".join(blocks) + "\n\n")
    return sentences("conll", file=str(file), words=1, tags=0)


def saved(folder: Path) -> Any:
    datasets.Dataset.from_list(named(ROWS)).save_to_disk(str(folder / "rows"))
    return sentences("datasets", name=str(folder / "rows"))


def known(data: TagSet) -> list[list[str]]:
    tags = data.known
    return [[data.classes[tag] for tag in tags.subset(torch.tensor([row])).values.tolist()] for row in range(len(data))]


@pytest.mark.parametrize("source", [jsonl, parquet_source, conll, tabbed, saved])
def test_every_kind_of_file_gives_the_same_rows(source: Any, tmp_path: Path) -> None:
    data = source(tmp_path).load()["train"]
    assert data.words == [tuple(words) for words, _ in ROWS]
    assert data.classes == CLASSES
    assert known(data) == [tags for _, tags in ROWS]
    assert data.index.tolist() == [0, 1, 2]
    # Of the tags in a row the one that the fewest rows have.
    assert [data.classes[tag] for tag in data.target.tolist()] == ["B-PER", "B-LOC", "O"]


def test_numbers_are_classes_in_their_order_and_names_those_of_the_data_set(tmp_path: Path) -> None:
    rows = named([(["a", "b"], [10, 2]), (["c"], [2])])
    plain = sentences("jsonl", file=str(json_file(tmp_path / "numbers.jsonl", rows))).load()["train"]
    assert (plain.classes, plain.known.values.tolist()) == (("2", "10"), [1, 0, 0])
    names = datasets.Sequence(datasets.ClassLabel(names=["O", "B-X", "I-X"]))
    features = datasets.Features({"words": datasets.Sequence(datasets.Value("string")), "tags": names})
    made = datasets.Dataset.from_dict({"words": [["a", "b"]], "tags": [[2, 0]]}, features=features)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "named"))
    found = sentences("datasets", name=str(tmp_path / "named"), test_split="test").load()
    assert found["train"].classes == ("O", "B-X", "I-X")
    assert found["test"].known.values.tolist() == [2, 0]
    assert found["test"].index.tolist() == [1]


def test_rows_and_files_without_tags(tmp_path: Path) -> None:
    rows = named([*ROWS, (["who", "knows"], None)])
    some = sentences("jsonl", file=str(json_file(tmp_path / "some.jsonl", rows))).load()["train"]
    assert some.labelled.tolist() == [True, True, True, False]
    none = sentences("jsonl", file=str(tmp_path / "some.jsonl"), tags=None).load()["train"]
    assert (none.labelled.any().item(), none.classes) == (False, ())
    bare = sentences("conll", file=str(conll_file(tmp_path / "bare.txt", "who\nknows\n\nnobody\n")), tags=None).load()[
        "train"
    ]
    assert bare.words == [("who", "knows"), ("nobody",)]
    both = some.with_unlabelled(bare)
    assert both.words[-2:] == [("who", "knows"), ("nobody",)]
    assert both.labelled.tolist() == [True, True, True, False, False, False]
    assert both.known.values.tolist() == [*some.known.values.tolist(), -100, -100, -100]
    assert both.index.tolist() == list(range(6))


WRONG = [
    ({"words": ["a", "b"], "tags": ["O"]}, "it has 2 words and 1 tags"),
    ({"words": [], "tags": []}, "the column 'words' is empty"),
    ({"words": "a b", "tags": ["O", "O"]}, "the column 'words' holds a str, not a list"),
    ({"words": None, "tags": ["O"]}, "the column 'words' holds nothing, not a list"),
    ({"words": ["a", 3], "tags": ["O", "O"]}, "word 2 is a int, not text"),
    ({"words": ["a", " "], "tags": ["O", "O"]}, "word 2 is empty"),
    ({"words": ["a"], "tags": ["O", "O"]}, "it has 1 words and 2 tags"),
    ({"words": ["a"], "tags": [None]}, "tag 1 is nothing, not text"),
    ({"words": ["a"], "tags": [1.5]}, "tag 1 is a float, not text"),
    ({"words": ["a"], "tags": [True]}, "tag 1 is a bool, not text"),
    ({"words": ["a"], "tags": [3]}, "the tags are int, those of the first row str"),
    ({"words": ["\ud800"], "tags": ["O"]}, "word 1 is not UTF-8"),
    (b'{"words": ["\xff"], "tags": ["O"]}', "the line is not UTF-8"),
    (b"{", "the line is no JSON"),
    (b"[1]", "the line holds a list, not an object"),
]


@pytest.mark.parametrize(("row", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_wrong_row_is_refused_by_number_or_skipped_and_counted(row: Any, told: str, tmp_path: Path) -> None:
    good = named(ROWS)
    file = str(json_file(tmp_path / "rows.jsonl", [good[0], row, *good[1:]]))
    with pytest.raises(DataError) as caught:
        sentences("jsonl", file=file).load()
    assert str(caught.value) == f"{file}, row 2: {told}; mend the row, or say skip: true"
    data = sentences("jsonl", file=file, skip=True).load()["train"]
    assert data.words == [tuple(words) for words, _ in ROWS]
    # A row keeps its number when others are skipped.
    assert data.index.tolist() == [0, 2, 3]
    assert data.skipped == (f"{file}: 1 rows skipped, 1 because {told}",)


def test_a_tag_that_training_rows_do_not_have(tmp_path: Path) -> None:
    train = json_file(tmp_path / "train.jsonl", named(ROWS))
    test = json_file(tmp_path / "test.jsonl", named([(["x"], ["B-ORG"]), (["y"], ["O"])]))
    files = {"file": str(train), "test_file": str(test)}
    with pytest.raises(DataError, match=r"test\.jsonl, row 1: the tag 'B-ORG' does not occur in the training rows"):
        sentences("jsonl", **files).load()
    found = sentences("jsonl", **files, skip=True).load()["test"]
    assert (found.words, found.index.tolist()) == ([("y",)], [4])


def test_numbers_are_no_names_of_the_training_rows(tmp_path: Path) -> None:
    train = json_file(tmp_path / "train.jsonl", named(ROWS))
    test = json_file(tmp_path / "test.jsonl", named([(["x"], [0])]))
    with pytest.raises(DataError, match=r"test\.jsonl, row 1: the tag 0 does not occur in the training rows"):
        sentences("jsonl", file=str(train), test_file=str(test)).load()


def test_a_word_whose_tag_is_not_known_is_of_no_class(tmp_path: Path) -> None:
    rows = named([(["a", "b"], [1, -100]), (["c"], [-100]), (["d"], [0])])
    data = sentences("jsonl", file=str(json_file(tmp_path / "rows.jsonl", rows))).load()["train"]
    assert data.classes == ("0", "1")
    assert data.known.values.tolist() == [1, -100, -100, 0]
    assert data.labelled.tolist() == [True, False, True]
    features = datasets.Features(
        {
            "words": datasets.Sequence(datasets.Value("string")),
            "tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-X"])),
        }
    )
    made = datasets.Dataset.from_list(rows, features=features)
    made.save_to_disk(str(tmp_path / "named"))
    again = sentences("datasets", name=str(tmp_path / "named")).load()["train"]
    assert (again.classes, again.known.values.tolist()) == (("O", "B-X"), [1, -100, -100, 0])


def test_a_space_within_a_word_is_no_end_of_a_column(tmp_path: Path) -> None:
    file = conll_file(tmp_path / "rows.conll", "10\u00a0000 B-NUM\nmen O\n")
    data = sentences("conll", file=str(file)).load()["train"]
    assert (data.words, known(data)) == ([("10\u00a0000", "men")], [["B-NUM", "O"]])


def test_lines_of_conll_that_cannot_be_read(tmp_path: Path) -> None:
    short = sentences("conll", file=str(conll_file(tmp_path / "short.txt", "a O\n\nb O\nc\n")), tags=1)
    with pytest.raises(
        DataError, match=r"row 2: line 4 has 1 columns; expected words in column 0 and tags in column 1"
    ):
        short.load()
    (tmp_path / "bytes.txt").write_bytes(b"a O\n\n\xff O\n\nb X\n")
    with pytest.raises(DataError, match=r"bytes\.txt, row 2: line 3 is not UTF-8"):
        sentences("conll", file=str(tmp_path / "bytes.txt")).load()
    data = sentences("conll", file=str(tmp_path / "bytes.txt"), skip=True).load()["train"]
    assert (data.words, data.index.tolist()) == ([("a",), ("b",)], [0, 2])


def test_what_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file /none; give the path of a file"):
        sentences("conll", file="/none").load()
    file = str(json_file(tmp_path / "rows.jsonl", named(ROWS)))
    with pytest.raises(DataError, match=r"has no column 'word'\. Did you mean 'words'\?"):
        sentences("jsonl", file=file, words="word").load()
    with refused(DataError, "not_found", "./none"):
        sentences("datasets", name="./none").load()
    with pytest.raises(DataError, match="has no row that can be used"):
        sentences("jsonl", file=str(json_file(tmp_path / "bad.jsonl", [{"words": [], "tags": []}])), skip=True).load()


def test_a_fingerprint_tells_words_tags_and_which_are_known(tmp_path: Path) -> None:
    made = [
        TagSet.of([("a", "b")], [[0, 1]], ("X", "Y")),
        TagSet.of([("a", "c")], [[0, 1]], ("X", "Y")),
        TagSet.of([("a", "b")], [[1, 1]], ("X", "Y")),
        TagSet.of([("a", "b")], [None], ("X", "Y")),
        TagSet.of([("a", "b")], [[0, 1]], ("X", "Z")),
    ]
    assert len({one.fingerprint() for one in made}) == len(made)
    hidden, kept = TagSet.of([("a",), ("b",), ("c",)], [[0], [1], [1]], ("X", "Y")).with_labels(2, seed=0)
    assert (hidden.known.values == -100).tolist() == (~kept).tolist()
