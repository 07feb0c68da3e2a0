"""How outputs are judged where every word of a row has a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.measure.calibration import Bin, reliability
from limbeck.measure.metrics import Floats, Integers, Metric, log_softmax
from limbeck.measure.scoring import registered
from limbeck.measure.single_label import CLASSIFICATION_METRICS, SingleLabel
from limbeck.registry import register

__all__ = ["EntityF1", "OfWords", "Tagging", "entities"]

_unknown = -100
_outside = "O"
# The prefixes of schemes with one letter for the first word of an entity, those within it, and the last.
_first, _within, _last = ("B", "S", "U"), ("I", "E", "L"), ("E", "L", "S", "U")


def entities(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """The entities of a sentence: first word, the word behind the last, and the kind of each.

    In IOB2, ``B-PER`` begins an entity, and ``I-PER`` goes on with one of its kind, or begins one where there is none,
    as conlleval has it. ``E``, ``L``, ``S`` and ``U`` are known too. Of tags without such a prefix, words of one tag
    that stand together are one entity; ``O`` is none.

    >>> sorted(entities(["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    >>> sorted(entities(["PER", "PER", "O", "LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC')]
    """
    found: set[tuple[int, int, str]] = set()
    start, kind = None, ""
    for place, tag in enumerate([*tags, _outside]):
        prefix, own = _parts(tag)
        if start is not None and not (prefix in _within and own == kind):
            found.add((start, place, kind))
            start = None
        if start is None and tag != _outside:
            start, kind = place, own
        if start is not None and prefix in _last:
            found.add((start, place + 1, kind))
            start = None
    return found


def _parts(tag: str) -> tuple[str, str]:
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if dash and prefix in (*_first, *_within) else ("" if tag == _outside else "I", tag)


@register("metric", "entity_f1")
class EntityF1:
    """Twice the entities that were found, over those that there are and those that were called.

    An entity is found if its first word, its last word and its kind are right; see `entities`. Counts are summed over
    all rows. The words of a row that have a known tag are its sentence. 0 where there is no entity and none was called.

    Args:
        classes: the names of the tags.
    """

    higher_is_better: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        called = logits.argmax(-1)
        counts = np.zeros((len(target), 2))
        for row, known in enumerate(target != _unknown):
            true, ours = (entities([self.classes[tag] for tag in tags[row][known]]) for tags in (target, called))
            counts[row] = 2 * len(true & ours), len(true) + len(ours)
        return counts

    def value(self, means: Floats) -> Floats:
        found, seen = means[..., 0], means[..., 1]
        return np.asarray(np.divide(found, seen, out=np.zeros_like(found), where=seen > 0), np.float64)


class OfWords:
    """A metric of single labels over the words of all rows: words count alike, and rows are what is drawn.

    Args:
        metric: for logits ``[N, C]``.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.higher_is_better: bool = metric.higher_is_better
        self.needs_teacher: bool = metric.needs_teacher
        self.bounds: tuple[float, float] = metric.bounds
        self.points: bool = metric.points

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        """The sums over the words of each row, and behind them the number of words."""
        known = target != _unknown
        words = self.metric.rows(logits[known], target[known], None if teacher is None else teacher[known])
        found = np.zeros((len(target), words.shape[1] + 1))
        np.add.at(found, np.nonzero(known)[0], np.pad(words, ((0, 0), (0, 1)), constant_values=1.0))
        return found

    def value(self, means: Floats) -> Floats:
        words = means[..., -1:]
        return self.metric.value(np.divide(means[..., :-1], words, out=np.zeros_like(means[..., :-1]), where=words > 0))


class Tagging:
    """Logits ``[N, W, C]`` and targets ``[N, W]`` in 0..C-1; -100 for what is no word, or no word with a known tag.

    Where tags tell entities, by prefixes or by an ``O``, `EntityF1` decides; otherwise the accuracy of words.

    Args:
        classes: the names of the tags.

    >>> Tagging(("B-PER", "I-PER", "O")).metrics[:2], Tagging(("ADJ", "NOUN")).metrics[:2]
    (('entity_f1', 'accuracy'), ('accuracy', 'top5_accuracy'))
    """

    loss: ClassVar = "cross_entropy"
    exclusive: ClassVar = True

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        told = _outside in self.classes or any(_parts(name)[1] != name for name in self.classes)
        self.metrics: tuple[str, ...] = (*(["entity_f1"] if told else []), *CLASSIFICATION_METRICS)
        self._words = SingleLabel()

    def metric(self, name: str) -> Metric:
        if name != "entity_f1":
            return OfWords(registered(name))
        metric: Metric = registry.lookup("metric", name)(self.classes)
        return metric

    def check(self, target: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse targets that are not one class number for each word.

        Raises:
            ArgumentError: if shapes do not fit, nothing is known, or a number is out of range.
        """
        if target.ndim != 2 or target.shape != shape[:-1] or len(shape) != 3 or target.dtype.kind not in "iu":
            raise ArgumentError(
                f"evaluate: target of shape {target.shape} and type {target.dtype} for logits of shape {shape}; "
                "expected one class number for each word, [N, W], and logits [N, W, C]"
            )
        known = target != _unknown
        if not known.any():
            raise ArgumentError("evaluate: no word has a known tag; give rows with tags")
        self._words.check(target[known], (int(known.sum()), shape[-1]))

    def probabilities(self, logits: Floats) -> Floats:
        return np.asarray(np.exp(log_softmax(logits)), np.float64)

    def reliability(self, logits: Floats, target: Integers) -> tuple[Bin, ...]:
        known = target != _unknown
        return reliability(logits[known], target[known])

    def confusion(self, logits: Floats, target: Integers) -> tuple[tuple[int, ...], ...]:
        known = target != _unknown
        return self._words.confusion(logits[known], target[known])
