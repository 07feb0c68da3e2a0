"""The sizes that every image architecture is built from."""

from __future__ import annotations

from limbeck.errors import ArgumentError

__all__ = ["check_positive", "check_task"]


def check_positive(model: str, **options: int) -> None:
    """Refuse options below 1.

    Raises:
        ArgumentError: on the first such option.
    """
    for option, value in options.items():
        if value < 1:
            raise ArgumentError(f"{model}: {option} is {value}; expected a whole number of at least 1", path=option)


def check_task(model: str, channels: int, classes: int, size: tuple[int, int]) -> None:
    """Refuse image shapes and numbers of outputs that no model can be built for.

    Raises:
        ArgumentError: if a number is below 1.
    """
    height, width = size
    check_positive(model, channels=channels, classes=classes, **{"image height": height, "image width": width})
