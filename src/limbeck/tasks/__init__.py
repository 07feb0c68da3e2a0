"""One file per task: what a batch holds, how models are built and judged."""

from limbeck.export import Delivery
from limbeck.tasks.batch_source import Batch, BatchSource, Inputs, OnPolicySource, Student
from limbeck.tasks.image_classification import ImageClassification, ImageSettings
from limbeck.tasks.masked_language_modelling import MaskedLanguageModelling, MaskedSettings
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.regression import Regression
from limbeck.tasks.splits import SplitSettings, TrainingRows
from limbeck.tasks.tabular_classification import TabularClassification
from limbeck.tasks.task import Arrays, Part, Task
from limbeck.tasks.text_classification import TextClassification, TextSettings
from limbeck.tasks.token_classification import TokenClassification

__all__ = [
    "Arrays",
    "Batch",
    "BatchSource",
    "Delivery",
    "ImageClassification",
    "ImageSettings",
    "Inputs",
    "MaskedLanguageModelling",
    "MaskedSettings",
    "OnPolicySource",
    "OutputSpec",
    "Part",
    "Regression",
    "SplitSettings",
    "Student",
    "TabularClassification",
    "Task",
    "TextClassification",
    "TextSettings",
    "TokenClassification",
    "TrainingRows",
]
