"""Sources: complete data sets, and every reader with every row type."""

from __future__ import annotations

from limbeck.data.sources.breast_cancer import BreastCancer
from limbeck.data.sources.constructors import from_objects, load, object_constructor, source_constructor, sources_for
from limbeck.data.sources.diabetes import Diabetes
from limbeck.data.sources.digits import Digits
from limbeck.data.sources.idx import Idx
from limbeck.data.sources.image_folder import ImageFolder
from limbeck.data.sources.mnist5k import Mnist5k
from limbeck.data.sources.npz import Npz

__all__ = [
    "BreastCancer",
    "Diabetes",
    "Digits",
    "Idx",
    "ImageFolder",
    "Mnist5k",
    "Npz",
    "from_objects",
    "load",
    "object_constructor",
    "source_constructor",
    "sources_for",
]
