"""Models of timm, by name, with local weights only."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.checkpoint import load_weights
from limbeck.models.checks import check_task
from limbeck.models.optional_deps import check_forward, check_name, import_library
from limbeck.registry import register

__all__ = ["timm_model"]


@register("model", "timm", inputs="images")
def timm_model(
    *, channels: int, classes: int, size: tuple[int, int], name: str, checkpoint: str | None = None
) -> nn.Module:
    """A model of timm, with random weights or those of a local file. Nothing is downloaded.

    Args:
        channels: of the images; the first convolution is built for them.
        classes: number of logits.
        size: height and width of the images in pixels; models of a fixed size are built for it.
        name: as in ``timm.list_models()``.
        checkpoint: a file for :func:`limbeck.models.load_weights`.

    Returns:
        A module from images [B, C, H, W] to logits [B, classes].

    Raises:
        ArgumentError: if timm is missing, the name is unknown, or the model cannot take such images.
        RunError: if the checkpoint is missing or does not fit.

    >>> net = timm_model(channels=1, classes=10, size=(32, 32), name="test_resnet")
    >>> net.conv1[0].in_channels
    1
    """
    label = f"timm's {name!r}"
    check_task(label, channels, classes, size)
    timm = import_library("timm")
    check_name("timm", name, timm.list_models())  # refuses "hf-hub:…" too, which would be fetched
    options: dict[str, Any] = {"in_chans": channels, "num_classes": classes}
    described = timm.models.get_pretrained_cfg(name)
    if described is not None and described.fixed_input_size:
        options["img_size"] = size
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise ArgumentError(
            f"{label} cannot be built for {channels}×{size[0]}×{size[1]} images: {error}",
            code="unsupported",
            path="name",
        ) from error
    check_forward(label, model, channels, classes, size)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model
