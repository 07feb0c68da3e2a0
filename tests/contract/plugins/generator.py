"""A generator with two players: it learns from a discriminator that trains along, and from the images of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.export import Prediction, Session
from limbeck.hashing import hash_tensors
from limbeck.measure import Floats, OfMeans, Scoring
from limbeck.registry import register
from limbeck.tasks import Batch, Delivery, OutputSpec, SplitSettings, Task

LATENT, PIXELS = 3, 6


@dataclass(frozen=True)
class Strips:
    """Strips of pixels ``[N, 6]``, and their numbers."""

    pixels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def labelled(self) -> Tensor:
        return torch.ones(len(self), dtype=torch.bool)

    def subset(self, rows: Tensor) -> Self:
        return replace(self, pixels=self.pixels[rows], index=self.index[rows])

    def fingerprint(self) -> str:
        return hash_tensors({"pixels": self.pixels})


@register("source", "strips")
class StripSource:
    """Strips that a known generator makes.

    Args:
        rows: the number of strips.
    """

    row_type = Strips

    def __init__(self, *, rows: int = 200) -> None:
        self.rows = rows

    def load(self) -> Mapping[str, Strips]:
        latent = torch.randn(self.rows, LATENT, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return {"train": Strips(known_generator()(latent)["images"], torch.arange(self.rows))}


@register("model", "strip_maker")
class StripMaker(nn.Module):
    """A strip from a latent vector.

    Args:
        width: of the hidden layer.
    """

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LATENT, width), nn.Tanh(), nn.Linear(width, PIXELS))

    def forward(self, latent: Tensor) -> dict[str, Tensor]:
        return {"images": self.net(latent)}


@register("model", "known_generator", pretrained=True)
def known_generator() -> nn.Module:
    """The generator that made the strips: its weights are a function of nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return StripMaker(width=16)


@register("model", "strip_critic")
class StripCritic(nn.Module):
    """A logit for real strips, for made ones, or for both."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PIXELS, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, real: Tensor | None = None, made: Tensor | None = None) -> dict[str, Tensor]:
        given = {"real": real, "made": made}
        return {name: self.net(strips).squeeze(1) for name, strips in given.items() if strips is not None}


@register("loss", "accepted")
class Accepted(nn.Module):
    """−log sigmoid(logit)."""

    def forward(self, student: Tensor) -> Tensor:
        return F.softplus(-student)


@register("loss", "rejected")
class Rejected(nn.Module):
    """−log (1 − sigmoid(logit))."""

    def forward(self, student: Tensor) -> Tensor:
        return F.softplus(student)


@register("metric", "mean_gap")
class MeanGap(OfMeans):
    """The distance between the mean strip that is made and the mean real one."""

    title = "gap between means"
    higher_is_better = False
    bounds = (0.0, np.inf)

    def statistics(self, outputs: Mapping[str, Any], labels: Mapping[str, Any], reference: Any) -> Floats:
        return np.asarray(outputs["images"] - labels["real"], np.float64)

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(np.linalg.norm(means, axis=-1))


@register("task", "strip_generation")
class StripGeneration(Task):
    """Strips as the given ones, from random latent vectors."""

    Settings: ClassVar = SplitSettings
    row_type: ClassVar = Strips
    main_output: ClassVar = "images"
    outputs: ClassVar = {"images": OutputSpec(("row", "pixel"), fixed=("pixel",))}
    scoring: ClassVar = Scoring(hard={}, metrics=(MeanGap(),))
    delivery: ClassVar = Delivery(formats=("onnx",), predictor=f"{__name__}:predict")

    def collate(self, rows: Strips, numbers: Tensor, views: Tensor) -> Batch:
        # A latent vector is a function of the row and the view.
        seeds = (rows.index[numbers] * 1000 + views).tolist()
        latent = [torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return {"inputs": torch.stack(latent), "real": rows.pixels[numbers]}

    def build(self, make: Callable[..., nn.Module], role: str = "student", parts: Any = None) -> nn.Module:
        return make()

    def labels(self, batch: Batch) -> dict[str, Any]:
        return {"real": batch["real"].numpy()}


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> Iterator[Prediction]:
    """The strip of each seed."""
    for seed in map(int, inputs):
        strip = session(np.random.default_rng(seed).standard_normal((1, LATENT)).astype(np.float32))["images"][0]
        yield Prediction({"strip": strip.tolist()}, " ".join(f"{value:.2f}" for value in strip))
