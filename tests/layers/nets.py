"""Networks for digits whose layers are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck import registry
from limbeck.layers.trace import Layer

IMAGES = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.wide, self.back = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + 2 * self.back(self.wide(self.norm(x)).relu())


class Residual(nn.Module):
    """Blocks of one size between a stem and a head."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images.flatten(1))))


def residual(blocks: int, *, width: int = 24, seed: int = 0) -> Residual:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Residual(width, blocks)


def keeping(model: Residual, kept: range) -> Residual:
    """The same network without its other blocks."""
    student = residual(len(kept), width=model.head.in_features)
    state = model.state_dict()
    for name in student.state_dict():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(kept[int(parts[1])])
        student.state_dict()[name].copy_(state[".".join(parts)])
    return student


def library(name: str, seed: int = 0, **options: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = registry.lookup("model", name)(channels=1, classes=10, size=(8, 8), **options)
        return model


def paths(layers: list[Layer] | tuple[Layer, ...]) -> list[str]:
    return [layer.path for layer in layers]
