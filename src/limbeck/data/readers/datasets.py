"""Data sets of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limbeck.data.readers.reader import Records, located
from limbeck.errors import DataError, suggest
from limbeck.models.optional_deps import import_library
from limbeck.registry import register

__all__ = ["Datasets"]


@register("reader", "datasets")
class Datasets:
    """A data set of Hugging Face ``datasets``: a folder that ``save_to_disk`` wrote, or one by name.

    Where it names its classes, these are the classes, in its order.

    Args:
        name: the path of the folder, or the name. No hub is asked for a path.
        config: with a name, which of its configurations.
        split: the name of the split with the training rows.
        validation_split: the split with the validation rows; without it, a share of the training rows is held out.
        test_split: the split with the test rows, likewise.
    """

    def __init__(
        self,
        *,
        name: str,
        config: str | None = None,
        split: str = "train",
        validation_split: str | None = None,
        test_split: str | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.splits = {"train": split, "validation": validation_split, "test": test_split}

    def records(self) -> Mapping[str, Records]:
        """The records of each split that is given.

        Raises:
            DataError: if there is no such data set or split.
        """
        data = _opened(self.name, self.config)
        if not isinstance(data, Mapping):
            data = {"train": data}
        records = {}
        for name, split in self.splits.items():
            if split is None:
                continue
            if split not in data:
                raise DataError(
                    f"the data set {self.name} has no split {split!r}.{suggest(split, data)}",
                    code="unknown_name",
                    path=self.name,
                )
            origin = f"{self.name}, split {split}"
            records[name] = Records(origin, located(origin, data[split]), dict(_class_names(data[split].features)))
        return records


def _class_names(features: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for column, feature in features.items():
        # A column of lists has the names at the feature of its items.
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names is not None:
            yield column, tuple(names)


def _opened(name: str, config: str | None) -> Any:
    library = import_library("datasets", "text")
    path = Path(name)
    if path.is_dir():
        try:
            return library.load_from_disk(name)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{name} is no folder of save_to_disk ({str(error).splitlines()[0]})", code="unreadable", path=name
            ) from error
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise DataError(
            f"no folder {name}; give one that save_to_disk wrote, or the name of a data set",
            code="not_found",
            path=name,
        )
    try:
        return library.load_dataset(name, config)
    except Exception as error:  # of the hub, of its connection, of a script: each has classes of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the data set {name!r} cannot be loaded ({reason})", code="unreadable", path=name) from error
