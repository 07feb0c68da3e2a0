"""Label types: what a label is, which columns hold it, and how labels become targets."""

from __future__ import annotations

from limbeck.data.labels.classes import UNKNOWN, ClassLabels
from limbeck.data.labels.floats import FloatLabels
from limbeck.data.labels.label_type import FloatTarget, LabelSpace, LabelType
from limbeck.data.labels.none import NoLabels
from limbeck.data.labels.tags import TagLabels

__all__ = ["UNKNOWN", "ClassLabels", "FloatLabels", "FloatTarget", "LabelSpace", "LabelType", "NoLabels", "TagLabels"]
