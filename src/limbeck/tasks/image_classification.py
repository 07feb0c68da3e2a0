"""Image classification: one class, or any number of classes, for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from limbeck.core import Address
from limbeck.data import ImageSet, from_dataset
from limbeck.export import Delivery
from limbeck.models.optional_deps import check_forward
from limbeck.registry import Needs, register
from limbeck.tasks.classification import Classification
from limbeck.tasks.descriptions import TaskDescription, onnx_snippet
from limbeck.tasks.image_inputs import ImageSettings
from limbeck.tasks.row_task import RowTask

__all__ = ["ImageClassification", "ImageSettings"]


@register("task", "image_classification")
class ImageClassification(Classification, RowTask):
    """The rows of a source of images, split; what their batches hold, how models are built, judged and shipped.

    Args:
        source: ``train``, and where the source has it ``test``.
        settings: how to split and augment them.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, some have no label although ``labels`` counts them, or the rows of
            another source do not fit.
    """

    needs: ClassVar = Needs(("images",))
    row_type: ClassVar = ImageSet
    delivery: ClassVar = Delivery(
        formats=("onnx", "int8"),
        predictor="limbeck.export.predictors.images:predict",
        inputs={"image": "values in 0..1"},
    )

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, ImageSet]:
        """What a source would load: given as it is, as a dataset of pairs (image, label), or as two of them."""
        if isinstance(data, Mapping):
            return data
        return from_dataset(*data) if isinstance(data, tuple) else from_dataset(data)

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one image into logits."""
        channels, *size = self.test.shape
        check_forward(label, model, channels, len(self.classes), (size[0], size[1]))

    @property
    def description(self) -> TaskDescription:
        """Images of one size, and their classes."""
        return self.describe(
            takes=self.inputs.description,
            row="image",
            command="limbeck predict . image.png",
            pipeline_tag="image-classification",
            snippet=onnx_snippet(
                "# batch, channels, height, width; values from 0 to 1\n"
                f"images = np.zeros({(1, *self.test.shape)}, dtype=np.float32)  # put your images here\n"
                'feed = {"image": images}',
                multi_label=self.is_multi_label,
            ),
        )
