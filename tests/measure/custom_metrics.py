"""Metrics that are no functions of means, one with ragged statistics: subclasses as a plugin has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from limbeck.measure import Floats, Labels, Metric, Outputs

Image = tuple[Floats, Floats, int]


class Spearman(Metric[dict[str, Floats]]):
    """The rank correlation of outputs and labels, with mean ranks for ties."""

    name = "spearman"
    title = "rank correlation"
    bounds = (-1.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> dict[str, Floats]:
        return {"output": outputs["value"], "label": labels["target"]}

    def join(self, parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([part[name] for part in parts]) for name in ("output", "label")}

    def value(self, statistics: dict[str, Floats], weights: Floats) -> Floats:
        first, second = (self._ranks(statistics[name], weights) for name in ("output", "label"))
        total = weights.sum(1, keepdims=True)
        first, second = (one - (weights * one).sum(1, keepdims=True) / total for one in (first, second))
        scale = np.sqrt((weights * first**2).sum(1) * (weights * second**2).sum(1))
        return np.asarray((weights * first * second).sum(1) / scale, np.float64)

    @staticmethod
    def _ranks(values: Floats, weights: Floats) -> Floats:
        """The mean rank of each row in the draw, up to a constant."""
        below = np.less.outer(values, values).astype(np.float64)
        equal = np.equal.outer(values, values).astype(np.float64)
        return weights @ below + weights @ equal / 2


class PrecisionOfBoxes(Metric[list[Image]]):
    """Average precision of scored detections, any number in each image: a small mAP.

    Scores differ between detections. Outputs are ``score`` and ``hit`` of the detections of each image, and labels the
    number of ``objects`` in it.
    """

    name = "precision_of_boxes"
    title = "average precision of boxes"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> list[Image]:
        return list(zip(outputs["score"], outputs["hit"], labels["objects"], strict=True))

    def join(self, parts: Sequence[list[Image]]) -> list[Image]:
        return [image for part in parts for image in part]

    def value(self, statistics: list[Image], weights: Floats) -> Floats:
        image = np.repeat(np.arange(len(statistics)), [len(score) for score, _, _ in statistics])
        score, hit = (np.concatenate([one[at] for one in statistics]) for at in (0, 1))
        order = np.argsort(-score, kind="stable")
        drawn = weights[:, image[order]]
        objects = weights @ np.array([one[2] for one in statistics], np.float64)
        found = drawn * hit[order]
        seen = drawn.cumsum(1)
        precision = np.divide(found.cumsum(1), seen, out=np.zeros_like(seen), where=seen > 0)
        return np.asarray((found * precision).sum(1) / objects, np.float64)

    def arrays(self, statistics: list[Image]) -> dict[str, Any]:
        return {
            "score": np.concatenate([one[0] for one in statistics]),
            "hit": np.concatenate([one[1] for one in statistics]),
            "count": np.array([len(one[0]) for one in statistics]),
            "objects": np.array([one[2] for one in statistics]),
        }


def spearman(outputs: Floats, labels: Floats) -> float:
    """By SciPy."""
    return float(scipy.stats.spearmanr(outputs, labels).statistic)


def precision_of_boxes(images: Sequence[tuple[Floats, Floats, int]]) -> float:
    """By a loop over all thresholds: the precision of the detections above each, times the hits at it."""
    score, hit = (np.concatenate([one[at] for one in images]) for at in (0, 1))
    total = sum(hit[score == threshold].sum() * hit[score >= threshold].mean() for threshold in np.unique(score))
    return float(total / sum(one[2] for one in images))
