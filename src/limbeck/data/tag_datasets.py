"""Words and tags from the data sets of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.data.saved_datasets import split_tables
from limbeck.data.tag_rows import TagColumns, tag_sets
from limbeck.data.tagged import TagSet
from limbeck.registry import register

__all__ = ["TaggedDatasets"]


@register("tagged_source", "datasets")
class TaggedDatasets:
    """A data set of Hugging Face ``datasets``: a folder that ``save_to_disk`` wrote, or one by name.

    Args:
        name: the path of the folder, or the name. No hub is asked for a path.
        config: with a name, which of its configurations.
        split: the name of the split with the training rows.
        validation_split: that of the validation rows; without it, a share of the training rows is held out.
        test_split: that of the test rows, likewise.
        words: the column of the words, a list of texts.
        tags: that of their tags, a list, -100 for a tag that is not known; null for rows without tags. Where the data
            set knows their names, these are the classes, in its order.
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
        words: str = "words",
        tags: str | None = "tags",
        skip: bool = False,
    ) -> None:
        self.name = name
        self.config = config
        self.splits = {"train": split, "validation": validation_split, "test": test_split}
        self.columns = TagColumns(words, tags, skip)

    def load(self) -> dict[str, TagSet]:
        """The sets by name.

        Raises:
            DataError: if there is no such data set or split, or a row is refused.
        """
        return tag_sets(split_tables(self.name, self.config, self.splits, self._classes), self.columns)

    def _classes(self, features: Mapping[str | None, Any]) -> tuple[str, ...] | None:
        names = getattr(getattr(features.get(self.columns.tags), "feature", None), "names", None)
        return None if names is None else tuple(names)
