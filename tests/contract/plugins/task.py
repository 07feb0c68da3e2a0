"""A task with float targets, no classes and no logits: the angle of a spring from its load and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.export import Prediction, Session
from limbeck.hashing import hash_tensors
from limbeck.measure import Floats, OfMeans, Scoring
from limbeck.registry import register
from limbeck.tasks import Batch, Delivery, OutputSpec, SplitSettings, Task


@dataclass(frozen=True)
class Springs:
    """Rows of a load and a length, and the angle where it is known.

    Args:
        features: ``[N, 2]``.
        target: ``[N]``, in degrees; NaN where unknown.
        index: the number of each row in its source.
    """

    features: Tensor
    target: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.features)

    @property
    def labelled(self) -> Tensor:
        return ~self.target.isnan()

    def subset(self, rows: Tensor) -> Self:
        return replace(self, features=self.features[rows], target=self.target[rows], index=self.index[rows])

    def fingerprint(self) -> str:
        return hash_tensors({"features": self.features, "target": self.target})


@register("source", "springs")
class SpringSource:
    """Angles of springs, computed.

    Args:
        rows: how many.
    """

    row_type = Springs

    def __init__(self, *, rows: int = 240) -> None:
        self.rows = rows

    def load(self) -> Mapping[str, Springs]:
        features = torch.rand(self.rows, 2, generator=torch.Generator().manual_seed(0))
        angle = 30 * (2 * features[:, 0]).sin() + 10 * features[:, 1]
        return {"train": Springs(features, angle, torch.arange(self.rows))}


@register("model", "spring_net")
class SpringNet(nn.Module):
    """One hidden layer.

    Args:
        features: number of features.
        width: of the hidden layer.
    """

    def __init__(self, *, features: int, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, load: Tensor) -> dict[str, Tensor]:
        return {"angle": self.net(load).squeeze(-1)}


@register("metric", "angle_error")
class AngleError(OfMeans):
    """Root of the mean squared error of the angle, in degrees."""

    title = "Angle error"
    unit = "degrees"
    higher_is_better = False
    bounds = (0.0, np.inf)

    def statistics(
        self, outputs: Mapping[str, Any], labels: Mapping[str, Any], reference: Mapping[str, Any] | None
    ) -> Floats:
        return np.asarray((outputs["angle"] - labels["target"])[:, None] ** 2, np.float64)

    def of_means(self, means: Floats) -> Floats:
        return np.sqrt(means[..., 0])


@register("task", "spring_angles")
class SpringAngles(Task):
    """The angle of a spring."""

    Settings: ClassVar = SplitSettings
    row_type: ClassVar = Springs
    supplied: ClassVar = ("features",)
    main_output: ClassVar = "angle"
    outputs: ClassVar = {"angle": OutputSpec(("row",))}
    scoring: ClassVar = Scoring(hard={"hard": {"loss": "squared_error"}}, metrics=(AngleError(),))
    delivery: ClassVar = Delivery(formats=("onnx",), predictor=f"{__name__}:predict")

    def collate(self, rows: Springs, numbers: Tensor, views: Tensor) -> Batch:
        return {"inputs": rows.features[numbers], "target": rows.target[numbers]}

    def build(self, make: Callable[..., nn.Module], role: str = "student", parts: Any = None) -> nn.Module:
        return make(features=2)


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """One angle for each input `load,length`."""
    rows = np.array([[float(part) for part in row.split(",")] for row in inputs], np.float32)
    return [Prediction({"angle": float(angle)}, f"{angle:.1f} degrees") for angle in session(rows)["angle"]]
