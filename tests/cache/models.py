"""A small model of several kinds of modules."""

from __future__ import annotations

import torch
from torch import nn


def model(activation: nn.Module | None = None) -> nn.Module:
    """The same at every call, but for the activation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), activation or nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2))
