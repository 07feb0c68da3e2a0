"""One file per task: what a batch holds, how models are built and judged."""

from limbeck.tasks.image_classification import DataSettings, ImageClassification
from limbeck.tasks.task import Batch, BatchSource, Inputs, Task, TrainingRows

__all__ = ["Batch", "BatchSource", "DataSettings", "ImageClassification", "Inputs", "Task", "TrainingRows"]
