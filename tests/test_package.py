"""What importing the package costs and gives."""

from __future__ import annotations

import importlib
from importlib import metadata

import pytest

import limbeck


def test_the_version_is_that_of_the_distribution() -> None:
    assert limbeck.__version__ == metadata.version("limbeck")


@pytest.mark.parametrize("name", limbeck.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(limbeck, name) is not None
    assert name in dir(limbeck)


@pytest.mark.parametrize("room", ["functional", "losses", "teachers", "models", "measure"])
def test_rooms_need_no_import_of_their_own(room: str) -> None:
    assert getattr(limbeck, room) is importlib.import_module(f"limbeck.{room}")
    assert room in dir(limbeck)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'limbeck' has no attribute 'distill'"):
        limbeck.distill  # noqa: B018
