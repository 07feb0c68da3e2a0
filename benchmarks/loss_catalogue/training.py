"""The loop that every teacher and every student is trained by."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limbeck import Distiller
from limbeck.data import Batch, ImageSet, whole
from limbeck.errors import DivergedError

__all__ = ["logits_of", "train"]

_warmup = 0.05


def train(distiller: Distiller, batches: Iterable[Batch], steps: int, rate: float) -> None:
    """All steps of AdamW, with a learning rate that rises over the first twentieth and falls to 0 by a cosine.

    Raises:
        DivergedError: if the loss is no finite number.
    """
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps))
    distiller.attach(optimizer)
    distiller.train()
    for step, batch in enumerate(batches, start=1):
        loss = distiller(batch).loss()
        if not math.isfinite(loss.item()):
            raise DivergedError(f"the loss is {loss.item()} at step {step}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _share(step: int, steps: int) -> float:
    warm = max(round(_warmup * steps), 1)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def logits_of(model: nn.Module, data: ImageSet, device: torch.device) -> NDArray[np.float32]:
    """The logits of all rows, in order.

    Raises:
        DivergedError: if one is no finite number.
    """
    model.eval()
    with torch.no_grad():
        outputs = [model(batch["inputs"].to(device)) for batch in whole(data, 500)]
    parts = [output["logits"] if isinstance(output, dict) else output for output in outputs]
    logits: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    if not np.isfinite(logits).all():
        raise DivergedError("the logits after the last step are not finite")
    return logits
