"""The recipes of the golden runs, at tiny size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from golden_runs import texts


@dataclass(frozen=True)
class Case:
    """One run.

    Args:
        recipe: the name of a built-in recipe, or a mapping.
        overrides: values to set in it, one in each line.
        trained: the sections of the recipe with training settings; all of them train in float32.
        prepare: writes the files that the recipe reads into the current folder.
    """

    recipe: str | Mapping[str, Any]
    overrides: str
    trained: tuple[str, ...] = ()
    prepare: Callable[[], None] = lambda: None

    @property
    def all_overrides(self) -> list[str]:
        sections = ("train", *(f"models.{name}.train" for name in self.trained))
        common = [f"{section}.{setting}" for section in sections for setting in ("precision=float32", "log_every=4")]
        return [*map(str.strip, self.overrides.strip().splitlines()), *common, "measure.draws=200"]


def _prepare_bilstm() -> None:
    texts.write_reviews("reviews.csv", range(160))
    texts.write_reviews("more.csv", range(160, 240), labelled=False)
    texts.save_bert("bert", "BertModel")


def _prepare_tags() -> None:
    texts.write_sentences("train.jsonl", range(160))
    texts.write_sentences("test.jsonl", range(160, 220))
    texts.save_bert("bert", "BertModel")


def _prepare_masked() -> None:
    texts.write_lines("texts.txt", range(200))
    texts.save_bert("bert", "BertForMaskedLM")


TAGS = {
    "schema": 1,
    "name": "tags",
    "task": "token_classification",
    "data": {"use": "jsonl", "file": "train.jsonl", "test_file": "test.jsonl", "max_length": 24, "labels": 60},
    "models": {
        "teacher": {
            "use": "hugging_face",
            "folder": "bert",
            "train": {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3},
        },
        "student": {"use": "bilstm", "tokenizer": {"use": "words", "size": 100}},
    },
    "objective": {
        "hard": {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"},
        "soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5},
    },
    "train": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2},
    "export": {"formats": ["onnx", "int8"]},
}

CASES = {
    "digits": Case(
        "digits",
        """
        models.teacher.train.epochs=2
        train.epochs=2
        seeds=2
        export.formats=[onnx, int8]
        """,
        ("teacher",),
    ),
    "mutual": Case(
        "mutual",
        """
        data.limit=600
        train.epochs=2
        seeds=1
        """,
    ),
    # Images that are not augmented, so that the teachers' outputs are cached.
    "ensemble": Case(
        "ensemble",
        """
        data.limit=600
        data.augment.crop=0
        models.wide.train.epochs=1
        models.deep.train.epochs=1
        models.other.train.epochs=1
        train.epochs=4
        seeds=1
        """,
        ("wide", "deep", "other"),
    ),
    "born-again": Case(
        "born-again",
        """
        data.limit=600
        models.first.train.epochs=2
        models.second.train.epochs=2
        train.epochs=2
        seeds=1
        """,
        ("first", "second"),
    ),
    # All rows are labelled, so that the best epoch may be chosen by the validation rows.
    "own-teacher": Case(
        "own-teacher",
        """
        data.limit=400
        data.labels=null
        train.epochs=3
        train.select=best
        train.patience=2
        seeds=2
        """,
    ),
    "assistant": Case(
        "assistant",
        """
        data.limit=600
        models.teacher.train.epochs=1
        models.assistant.train.epochs=2
        train.epochs=2
        seeds=1
        """,
        ("teacher", "assistant"),
    ),
    "bilstm": Case(
        "bilstm",
        """
        data.file=reviews.csv
        data.max_length=12
        data.unlabelled={use: csv, file: more.csv, label: null}
        models.teacher.folder=bert
        models.teacher.train.learning_rate=5e-3
        models.student.width=16
        models.student.hidden=16
        train.epochs=3
        train.batch_size=16
        seeds=2
        export.formats=[onnx, int8]
        """,
        ("teacher",),
        _prepare_bilstm,
    ),
    "tags": Case(TAGS, "seeds=1", ("teacher",), _prepare_tags),
    "distilbert-general": Case(
        "distilbert-general",
        """
        data.file=texts.txt
        data.max_length=12
        data.test=0.2
        models.teacher.folder=bert
        models.teacher.train.epochs=2
        models.teacher.train.batch_size=16
        models.teacher.train.learning_rate=5e-3
        models.student.layers=1
        train.epochs=2
        train.batch_size=16
        seeds=1
        """,
        ("teacher",),
        _prepare_masked,
    ),
}
