"""Rows to learn from: readers, row types, label types, sources, splits, augmentation and batches."""

from __future__ import annotations

from limbeck.data.augment import Augment
from limbeck.data.batches import Batch, Batches, whole
from limbeck.data.files import FileImages
from limbeck.data.from_dataset import from_dataset
from limbeck.data.labels import UNKNOWN, ClassLabels, FloatLabels, FloatTarget, NoLabels, TagLabels
from limbeck.data.mlm_masking import MlmMasking
from limbeck.data.pixels import Images, MemoryImages
from limbeck.data.plan import Plan
from limbeck.data.rows import ImageSet, TableSet, TagSet, Texts, TextSet, UnlabelledTexts
from limbeck.data.sources import (
    BreastCancer,
    Diabetes,
    Digits,
    Idx,
    ImageFolder,
    Mnist5k,
    Npz,
    from_objects,
    load,
    object_constructor,
    source_constructor,
    sources_for,
)
from limbeck.data.splits import Splits, split
from limbeck.data.table_columns import Column
from limbeck.data.word_copies import TextViews, WordCopies
from limbeck.data.word_substitution import WordSubstitution

__all__ = [
    "UNKNOWN",
    "Augment",
    "Batch",
    "Batches",
    "BreastCancer",
    "ClassLabels",
    "Column",
    "Diabetes",
    "Digits",
    "FileImages",
    "FloatLabels",
    "FloatTarget",
    "Idx",
    "ImageFolder",
    "ImageSet",
    "Images",
    "MemoryImages",
    "MlmMasking",
    "Mnist5k",
    "NoLabels",
    "Npz",
    "Plan",
    "Splits",
    "TableSet",
    "TagLabels",
    "TagSet",
    "TextSet",
    "TextViews",
    "Texts",
    "UnlabelledTexts",
    "WordCopies",
    "WordSubstitution",
    "from_dataset",
    "from_objects",
    "load",
    "object_constructor",
    "source_constructor",
    "sources_for",
    "split",
    "whole",
]
