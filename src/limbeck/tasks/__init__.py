"""One file per task: what a batch holds, how models are built and judged."""

from limbeck.tasks.image_classification import DataSettings, ImageClassification
from limbeck.tasks.masked_language_modelling import MaskedLanguageModelling, MaskedSettings
from limbeck.tasks.task import Batch, BatchSource, Inputs, Part, Prediction, Task, TrainingRows
from limbeck.tasks.text_classification import TextClassification, TextSettings
from limbeck.tasks.token_classification import TokenClassification

__all__ = [
    "Batch",
    "BatchSource",
    "DataSettings",
    "ImageClassification",
    "Inputs",
    "MaskedLanguageModelling",
    "MaskedSettings",
    "Part",
    "Prediction",
    "Task",
    "TextClassification",
    "TextSettings",
    "TokenClassification",
    "TrainingRows",
]
