"""The recipes that are built in: those that run as they are, and those of texts, which need a file and a BERT."""

from __future__ import annotations

from pathlib import Path

from limbeck.recipes.read import builtin_names, read_recipe
from tasks.small_masked import masked_bert
from tasks.small_texts import bert, review, write_csv

TASKS = {name: read_recipe(name)[1]["task"] for name in builtin_names()}
TEXTS = [name for name, task in TASKS.items() if task == "text_classification"]
PLAIN = [name for name, task in TASKS.items() if task == "masked_language_modelling"]
WHOLE = [name for name in TASKS if name not in (*TEXTS, *PLAIN)]


def given(folder: Path, name: str = "") -> list[str]:
    """What a recipe of texts needs, made in a folder: reviews, 60 of them with labels, and a BERT of two layers."""
    if name in PLAIN:
        return plain(folder)
    if name == "tinybert":
        return [*given(folder), *small(folder), *copies(folder)]
    file = write_csv(folder / "reviews.csv", range(240))
    model = bert(folder / "bert", classes=None)
    read = [f"data.file={file}", "data.text=review", "data.label=verdict", "data.max_length=12"]
    return [*read, "data.labels=60", f"teacher.folder={model}"]


def plain(folder: Path) -> list[str]:
    """Texts without labels, and a BERT with its head for words."""
    file = folder / "texts.txt"
    file.write_text("\n".join(review(row)[0] for row in range(240)), encoding="utf-8")
    return [f"data.file={file}", "data.max_length=12", f"teacher.folder={masked_bert(folder / 'masked')}"]


def small(folder: Path) -> list[str]:
    """A narrow BERT of one layer."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
    return [f"models.layers.folder={bert(folder / 'small', classes=None, **sizes)}"]


def copies(folder: Path) -> list[str]:
    """A few copies of each row in other words."""
    settings = {"folder": masked_bert(folder / "masked"), "copies": 2, "candidates": 3}
    return [f"data.augment.{key}={value}" for key, value in settings.items()]
