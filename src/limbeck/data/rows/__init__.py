"""Row types: what one row of the data is, one file per type."""

from __future__ import annotations

from limbeck.data.rows.images import ImageSet
from limbeck.data.rows.row_set import UNKNOWN, RowSet
from limbeck.data.rows.tables import TableSet
from limbeck.data.rows.texts import Texts, TextSet
from limbeck.data.rows.token_labels import TagSet
from limbeck.data.rows.unlabelled_text import UnlabelledTexts

__all__ = ["UNKNOWN", "ImageSet", "RowSet", "TableSet", "TagSet", "TextSet", "Texts", "UnlabelledTexts"]
