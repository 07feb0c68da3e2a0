"""Texts from the data sets of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from limbeck.data.label_columns import labels_of
from limbeck.data.text_rows import Columns, Table, text_sets
from limbeck.data.texts import TextSet
from limbeck.errors import DataError, suggest
from limbeck.registry import register
from limbeck.students.library import import_library

__all__ = ["Datasets", "split_tables"]


@register("text_source", "datasets")
class Datasets:
    """A data set of Hugging Face ``datasets``: a folder that ``save_to_disk`` wrote, or one by name.

    Args:
        name: the path of the folder, or the name. No hub is asked for a path.
        config: with a name, which of its configurations.
        split: the name of the split with the training rows.
        validation_split: that of the validation rows; without it, a share of the training rows is held out.
        test_split: that of the test rows, likewise.
        text: the column of the text.
        pair: that of a second text, where two belong together.
        label: that of the class; null for rows without labels. Where the data set knows its classes, -1 stands for a
            label that is not known. Or several columns, one for each class, that hold 0 or 1.
        multi_label: whether the column holds a list, of any number of classes; an empty one is a row of no class.
        separator: what stands between the classes of a row in a column of text.
        skip: leave out and count rows that cannot be right, instead of refusing the data set.
    """

    def __init__(
        self,
        *,
        name: str,
        config: str | None = None,
        split: str = "train",
        validation_split: str | None = None,
        test_split: str | None = None,
        text: str = "text",
        pair: str | None = None,
        label: str | tuple[str, ...] | None = "label",
        multi_label: bool = False,
        separator: str | None = None,
        skip: bool = False,
    ) -> None:
        self.name = name
        self.config = config
        self.splits = {"train": split, "validation": validation_split, "test": test_split}
        self.columns = Columns(text, pair, labels_of(label, multi_label, separator), skip)

    def load(self) -> dict[str, TextSet]:
        """The sets by name.

        Raises:
            DataError: if there is no such data set or split, or a row is refused.
        """
        return text_sets(split_tables(self.name, self.config, self.splits, self._classes), self.columns)

    def _classes(self, features: Mapping[str | None, Any]) -> tuple[str, ...] | None:
        feature = features.get(self.columns.labels.column)
        # Of a column of lists, what these hold.
        names = getattr(getattr(feature, "feature", feature), "names", None)
        return None if names is None else tuple(names)


def split_tables(
    name: str,
    config: str | None,
    splits: Mapping[str, str | None],
    classes: Callable[[Mapping[str | None, Any]], tuple[str, ...] | None],
) -> dict[str, Table]:
    """The tables of some splits of a data set.

    Args:
        name: the path of a folder that ``save_to_disk`` wrote, or the name.
        config: with a name, which of its configurations.
        splits: what a table is called -> which split it is; None for one that is not asked for.
        classes: what the features of a split say of the names of its classes.

    Raises:
        DataError: if there is no such data set or split.
    """
    found = _opened(name, config)
    if not isinstance(found, Mapping):
        found = {"train": found}
    tables = {}
    for table, split in splits.items():
        if split is not None:
            if split not in found:
                raise DataError(f"the data set {name} has no split {split!r}.{suggest(split, found)}")
            tables[table] = Table(f"{name}, split {split}", found[split], classes(found[split].features))
    return tables


def _opened(name: str, config: str | None) -> Any:
    library = import_library("datasets", "text")
    path = Path(name)
    if path.is_dir():
        try:
            return library.load_from_disk(name)
        except (OSError, ValueError) as error:
            raise DataError(f"{name} is no folder of save_to_disk ({str(error).splitlines()[0]})") from error
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise DataError(f"no folder {name}; give one that save_to_disk wrote, or the name of a data set")
    try:
        return library.load_dataset(name, config)
    except Exception as error:  # of the hub, of its connection, of a script: each has classes of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the data set {name!r} cannot be loaded ({reason})") from error
