"""A model called with what stands in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.addresses import Address, Outputs, map_tensors, resolve

__all__ = ["call_model", "logits_of", "outputs_of"]


def call_model(model: nn.Module, inputs: Tensor | Mapping[str, Tensor], **call: Any) -> Any:
    """What a model gives for its inputs: called with a tensor by position, with a mapping by keyword.

    >>> call_model(nn.Identity(), torch.ones(1)).item()
    1.0
    """
    if isinstance(inputs, Mapping):
        return model(**{**inputs, **call})
    return model(inputs, **call)


@torch.inference_mode()
def outputs_of(
    model: nn.Module, batch: Outputs, inputs: Address = "batch.inputs", *, main: str = "logits"
) -> dict[str, Any]:
    """The outputs of a model for a batch, by name, on the device of the model.

    Args:
        model: in eval mode; it returns a tensor, which is the main output, or a mapping of outputs by name.
        batch: as it stands on the board.
        inputs: the address that the model reads.
        main: the name of the main output.

    >>> list(outputs_of(nn.Identity(), {"inputs": torch.ones(2, 3)}, main="value"))
    ['value']
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    given = call_model(model, map_tensors(resolve({"batch": batch}, inputs), torch.Tensor.to, device))
    return dict(given) if isinstance(given, Mapping) else {main: given}


def logits_of(model: nn.Module, batch: Outputs, inputs: Address = "batch.inputs") -> Tensor:
    """The logits of a batch, on the device of the model.

    Args:
        model: in eval mode; it gives logits, or a mapping that has them, as the models of Hugging Face do.
        batch: as it stands on the board.
        inputs: the address that the model reads.

    >>> logits_of(nn.Identity(), {"inputs": torch.ones(2, 3)}).shape
    torch.Size([2, 3])
    """
    logits: Tensor = outputs_of(model, batch, inputs)["logits"]
    return logits
