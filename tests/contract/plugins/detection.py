"""A task whose labels are lists of boxes: bright squares in small pictures, judged by mean average precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Ragged
from limbeck.export import Prediction, Session
from limbeck.hashing import hash_tensors
from limbeck.measure import Floats, Metric, Scoring
from limbeck.registry import register
from limbeck.tasks import Batch, Delivery, OutputSpec, SplitSettings, Task

SIDE, SQUARE, QUERIES = 8, 2, 4
Picture = tuple[Floats, Floats, int]


@dataclass(frozen=True)
class Pictures:
    """Pictures ``[N, 1, 8, 8]``, the corners of their squares (rows of ``[L, 2]``, in pixels), and their numbers."""

    pictures: Tensor
    boxes: Ragged
    index: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def labelled(self) -> Tensor:
        return torch.ones(len(self), dtype=torch.bool)

    def subset(self, rows: Tensor) -> Self:
        return replace(self, pictures=self.pictures[rows], boxes=self.boxes[rows], index=self.index[rows])

    def fingerprint(self) -> str:
        return hash_tensors({"pictures": self.pictures, "boxes": self.boxes.values, "ends": self.boxes.offsets})


@register("source", "squares")
class Squares:
    """Up to one square in each quarter of a picture, computed.

    Args:
        rows: the number of pictures.
    """

    row_type = Pictures

    def __init__(self, *, rows: int = 200) -> None:
        self.rows = rows

    def load(self) -> Mapping[str, Pictures]:
        random = np.random.default_rng(0)
        pictures, boxes = 0.2 * random.random((self.rows, 1, SIDE, SIDE), np.float32), []
        for picture in pictures:
            quarters = np.flatnonzero(random.random(QUERIES) < 0.5)
            corners = np.stack([quarters // 2, quarters % 2], 1) * 4 + random.integers(0, 3, (len(quarters), 2))
            for top, left in corners:
                picture[0, top : top + SQUARE, left : left + SQUARE] = 1
            boxes.append(torch.tensor(corners, dtype=torch.float32))
        return {"train": Pictures(torch.from_numpy(pictures), Ragged.of(boxes), torch.arange(self.rows))}


@register("model", "grid_detector")
class GridDetector(nn.Module):
    """A score and a corner for each quarter of a picture.

    Args:
        width: of the hidden layer.
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(1), nn.Linear(SIDE**2, width), nn.ReLU())
        self.score, self.corner = nn.Linear(width, QUERIES), nn.Linear(width, 2 * QUERIES)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        hidden = self.hidden(pictures)
        return {"scores": self.score(hidden), "corners": self.corner(hidden).unflatten(1, (QUERIES, 2))}


@register("loss", "set_of_boxes")
class SetOfBoxes(nn.Module):
    """Each box belongs to the query of its quarter: its distance, and the cross-entropy of all scores."""

    def forward(self, student: Tensor, target: Ragged, corners: Tensor) -> Tensor:
        query = ((target.values // 4) @ target.values.new_tensor([2.0, 1.0])).long()
        distance = (corners[target.rows, query] - target.values).abs().sum(1)
        sums = distance.new_zeros(len(target)).index_add(0, target.rows, distance)
        objects = student.new_zeros(student.shape).index_put((target.rows, query), student.new_ones(()))
        return sums + F.binary_cross_entropy_with_logits(student, objects, reduction="none").sum(1)


@register("metric", "precision_of_squares")
class PrecisionOfSquares(Metric[list[Picture]]):
    """The area under precision over recall; a square is found by a corner within half its side."""

    title = "mAP"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Mapping[str, Any], labels: Mapping[str, Any], reference: Any) -> list[Picture]:
        rows = []
        for scores, corners, boxes in zip(outputs["scores"], outputs["corners"], labels["boxes"], strict=True):
            near = np.abs(corners[:, None] - boxes[None]).max(-1, initial=0) <= SQUARE / 2
            rows.append((scores, (near & (near.cumsum(0) == 1)).any(1).astype(np.float64), len(boxes)))
        return rows

    def join(self, parts: Sequence[list[Picture]]) -> list[Picture]:
        return [row for part in parts for row in part]

    def value(self, statistics: list[Picture], weights: Floats) -> Floats:
        row = np.repeat(np.arange(len(statistics)), [len(scores) for scores, _, _ in statistics])
        scores, hits = (np.concatenate([one[part] for one in statistics]) for part in (0, 1))
        order = np.argsort(-scores, kind="stable")
        drawn = weights[:, row[order]]
        found, seen = (drawn * hits[order]).cumsum(1), drawn.cumsum(1)
        precision = np.divide(found, seen, out=np.zeros_like(seen), where=seen > 0)
        boxes = weights @ np.array([count for _, _, count in statistics], np.float64)
        return np.asarray((drawn * hits[order] * precision).sum(1) / boxes, np.float64)

    def arrays(self, statistics: list[Picture]) -> Mapping[str, Any]:
        names = ("scores", "hits", "boxes")
        return {name: np.stack([one[part] for one in statistics]) for part, name in enumerate(names)}


@register("task", "square_detection")
class SquareDetection(Task):
    """The bright squares of a picture."""

    Settings: ClassVar = SplitSettings
    row_type: ClassVar = Pictures
    main_output: ClassVar = "scores"
    outputs: ClassVar = {
        "scores": OutputSpec(("row", "query"), fixed=("query",)),
        "corners": OutputSpec(("row", "query", "axis"), fixed=("query", "axis")),
    }
    scoring: ClassVar = Scoring(
        hard={"hard": {"loss": "set_of_boxes", "inputs": {"corners": "student.corners", "target": "batch.target"}}},
        metrics=(PrecisionOfSquares(),),
    )
    delivery: ClassVar = Delivery(formats=("onnx",), predictor=f"{__name__}:predict")

    def collate(self, rows: Pictures, numbers: Tensor, views: Tensor) -> Batch:
        return {"inputs": rows.pictures[numbers], "target": rows.boxes[numbers]}

    def build(self, make: Callable[..., nn.Module], role: str = "student", parts: Any = None) -> nn.Module:
        return make()

    def labels(self, batch: Batch) -> dict[str, Any]:
        return {"boxes": [boxes.cpu().numpy() for boxes in batch["target"]]}


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The squares of each picture, which is a file of NumPy's."""
    found = session(np.stack([np.load(file, allow_pickle=False) for file in inputs]).astype(np.float32))
    lists = [corners[scores > 0].tolist() for scores, corners in zip(found["scores"], found["corners"], strict=True)]
    return [Prediction({"squares": one}, f"{len(one)} squares") for one in lists]
