"""A model called with what stands in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.addresses import Address, Outputs, at, map_tensors

__all__ = ["called", "logits_of"]


def called(model: nn.Module, inputs: Tensor | Mapping[str, Tensor], **call: Any) -> Any:
    """What a model gives for its inputs: called with a tensor by position, with a mapping by keyword.

    >>> called(nn.Identity(), torch.ones(1)).item()
    1.0
    """
    if isinstance(inputs, Mapping):
        return model(**{**inputs, **call})
    return model(inputs, **call)


@torch.inference_mode()
def logits_of(model: nn.Module, batch: Outputs, inputs: Address = "batch.inputs") -> Tensor:
    """The logits of a batch, on the device of the model.

    Args:
        model: in eval mode; it gives logits, or a mapping that has them, as the models of Hugging Face do.
        batch: as it stands on the board.
        inputs: the address that the model reads.

    >>> logits_of(nn.Identity(), {"inputs": torch.ones(2, 3)}).shape
    torch.Size([2, 3])
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    given = called(model, map_tensors(at({"batch": batch}, inputs), torch.Tensor.to, device))
    logits: Tensor = given["logits"] if isinstance(given, Mapping) else given
    return logits
