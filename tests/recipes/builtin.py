"""The recipes that are built in: those that run as they are, and those of texts, which need a file and a BERT."""

from __future__ import annotations

from pathlib import Path

from limbeck.recipes.read import builtin_names, read_recipe
from tasks.small_texts import bert, write_csv

TEXTS = [name for name in builtin_names() if read_recipe(name)[1]["task"] == "text_classification"]
WHOLE = [name for name in builtin_names() if name not in TEXTS]


def given(folder: Path) -> list[str]:
    """What a recipe of texts needs, made in a folder: reviews, 60 of them with labels, and a BERT of two layers."""
    file = write_csv(folder / "reviews.csv", range(240))
    model = bert(folder / "bert", classes=None)
    read = [f"data.file={file}", "data.text=review", "data.label=verdict", "data.max_length=12"]
    return [*read, "data.labels=60", f"teacher.folder={model}"]
