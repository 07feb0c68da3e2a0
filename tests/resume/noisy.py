"""A plugin: a model that draws from every random generator there is."""

import random

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.registry import register


@register("model", "noisy")
class Noisy(nn.Module):
    """A model that draws random numbers in training."""

    def __init__(self, *, channels: int, classes: int, size: tuple[int, int], width: int = 12) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels * size[0] * size[1], width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.hidden(images.flatten(1)).relu()
        if self.training:
            hidden = (
                hidden * random.uniform(0.5, 1.5) + torch.from_numpy(np.random.normal(0, 0.1, hidden.shape)).float()
            )
        logits: Tensor = self.head(hidden)
        return logits
