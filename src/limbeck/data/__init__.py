"""Images and texts to learn from: sources, splits, augmentation and batches."""

from __future__ import annotations

from limbeck.data.augment import Augment
from limbeck.data.batches import Batch, Batches, whole
from limbeck.data.digits import Digits
from limbeck.data.files import FileImages
from limbeck.data.from_dataset import from_dataset
from limbeck.data.idx import Idx
from limbeck.data.image_folder import ImageFolder
from limbeck.data.images import UNKNOWN, Images, ImageSet, MemoryImages
from limbeck.data.joined import with_unlabelled
from limbeck.data.masked_words import MaskedWords
from limbeck.data.mnist5k import Mnist5k
from limbeck.data.npz import Npz
from limbeck.data.plain_texts import PlainTexts
from limbeck.data.plan import Plan
from limbeck.data.saved_datasets import Datasets
from limbeck.data.splits import Splits, split
from limbeck.data.tag_datasets import TaggedDatasets
from limbeck.data.tag_files import Conll, TaggedJsonLines, TaggedParquet
from limbeck.data.tagged import TagSet
from limbeck.data.text_files import Csv, JsonLines, Parquet
from limbeck.data.texts import Texts, TextSet
from limbeck.data.txt_files import Txt
from limbeck.data.word_copies import Looks, WordCopies
from limbeck.data.word_substitution import WordSubstitution

__all__ = [
    "UNKNOWN",
    "Augment",
    "Batch",
    "Batches",
    "Conll",
    "Csv",
    "Datasets",
    "Digits",
    "FileImages",
    "Idx",
    "ImageFolder",
    "ImageSet",
    "Images",
    "JsonLines",
    "Looks",
    "MaskedWords",
    "MemoryImages",
    "Mnist5k",
    "Npz",
    "Parquet",
    "PlainTexts",
    "Plan",
    "Splits",
    "TagSet",
    "TaggedDatasets",
    "TaggedJsonLines",
    "TaggedParquet",
    "TextSet",
    "Texts",
    "Txt",
    "WordCopies",
    "WordSubstitution",
    "from_dataset",
    "split",
    "whole",
    "with_unlabelled",
]
