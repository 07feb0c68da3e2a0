"""How models are evaluated that label every token of a row: logits ``[N, W, C]`` and targets ``[N, W]``.

A target is -100 for what is no token, or a token without a known label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.calibration import Reliability
from limbeck.measure.class_scorings import check_class_numbers, single_label_metrics, softmax
from limbeck.measure.metric import Floats, Integers, Labels, Metric, OfMeans, Outputs, ratio
from limbeck.measure.scoring import ClassScoring
from limbeck.measure.tables import Confusion, Table
from limbeck.registry import register

__all__ = ["EntityF1", "OverTokens", "entities", "token_scoring"]

_UNKNOWN = -100
_OUTSIDE = "O"
# The prefixes of schemes with one letter for the first token of an entity, those within it, and the last.
_BEGINS, _WITHIN, _ENDS = ("B", "S", "U"), ("I", "E", "L"), ("E", "L", "S", "U")


def entities(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """The entities of a sentence: first token, the token behind the last, and the type of each.

    In IOB2, ``B-PER`` begins an entity. ``I-PER`` continues an entity of its type, or begins one where there is none,
    as in conlleval. ``E``, ``L``, ``S`` and ``U`` are understood too. In tags without such a prefix, adjacent tokens of
    one tag are one entity; ``O`` is none.

    >>> sorted(entities(["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    >>> sorted(entities(["PER", "PER", "O", "LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC')]
    """
    spans: set[tuple[int, int, str]] = set()
    start, entity_type = None, ""
    for position, tag in enumerate([*tags, _OUTSIDE]):
        prefix, tag_type = _parts(tag)
        if start is not None and not (prefix in _WITHIN and tag_type == entity_type):
            spans.add((start, position, entity_type))
            start = None
        if start is None and tag != _OUTSIDE:
            start, entity_type = position, tag_type
        if start is not None and prefix in _ENDS:
            spans.add((start, position + 1, entity_type))
            start = None
    return spans


def _parts(tag: str) -> tuple[str, str]:
    prefix, dash, entity_type = tag.partition("-")
    if dash and prefix in (*_BEGINS, *_WITHIN):
        return prefix, entity_type
    return ("" if tag == _OUTSIDE else "I"), tag


def has_entities(classes: Sequence[str]) -> bool:
    """Whether tags mark entities, by prefixes or by an ``O``."""
    return _OUTSIDE in classes or any(_parts(name)[1] != name for name in classes)


@register("metric", "entity_f1")
class EntityF1(OfMeans):
    """`2·TP / (true entities + predicted entities)`, counted over all rows; 0 if there are none.

    An entity is found if its first token, its last token and its type are right; see `entities`. The tokens of a row
    that have a known tag are its sentence.

    Args:
        classes: the names of the tags.
    """

    title = "entity F1"
    is_share = True
    bounds = (0.0, 1.0)

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        predicted, target = outputs["logits"].argmax(-1), labels["target"]
        counts = np.zeros((len(target), 2))
        for row, known in enumerate(target != _UNKNOWN):
            true, found = (entities([self.classes[tag] for tag in tags[row][known]]) for tags in (target, predicted))
            counts[row] = 2 * len(true & found), len(true) + len(found)
        return counts

    def of_means(self, means: Floats) -> Floats:
        return ratio(means[..., 0], means[..., 1])


def _known_tokens(outputs: Outputs, labels: Labels, known: Integers) -> tuple[Outputs, Labels]:
    """The logits ``[T, C]`` and targets ``[T]`` of the tokens with a known label."""
    return {"logits": outputs["logits"][known]}, {"target": labels["target"][known]}


class OverTokens(OfMeans):
    """A metric of single labels over the tokens of all rows: tokens have equal weight, and the bootstrap draws rows.

    Args:
        metric: of logits ``[N, C]`` and targets ``[N]``.
    """

    def __init__(self, metric: Metric[Floats]) -> None:
        if not isinstance(metric, OfMeans):
            raise ArgumentError(
                f"metric {metric.name}: over tokens, only functions of means can be computed",
                code="unsupported",
                path="metrics",
            )
        self.metric = metric
        self.title = metric.title
        self.unit = metric.unit
        self.higher_is_better = metric.higher_is_better
        self.is_share = metric.is_share
        self.bounds = metric.bounds
        self.needs_reference = metric.needs_reference
        self.column = metric.column
        self.hub = metric.hub

    @property
    def name(self) -> str:
        return self.metric.name

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        """The sums over the tokens of each row, and behind them the number of tokens."""
        known = labels["target"] != _UNKNOWN
        teacher = None if reference is None else {"logits": reference["logits"][known]}
        tokens = self.metric.statistics(*_known_tokens(outputs, labels, known), teacher)
        sums = np.zeros((len(known), tokens.shape[1] + 1))
        np.add.at(sums, np.nonzero(known)[0], np.pad(tokens, ((0, 0), (0, 1)), constant_values=1.0))
        return sums

    def of_means(self, means: Floats) -> Floats:
        return self.metric.of_means(self._of_tokens(means))

    @staticmethod
    def _of_tokens(means: Floats) -> Floats:
        return ratio(means[..., :-1], np.broadcast_to(means[..., -1:], means[..., :-1].shape))


class _TableOverTokens(Table):
    """A table of single labels over the tokens of all rows."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def entries(self, outputs: Outputs, labels: Labels) -> tuple[Integers, Floats]:
        known = labels["target"] != _UNKNOWN
        token, entries = self.table.entries(*_known_tokens(outputs, labels, known))
        return np.nonzero(known)[0][token], entries

    def summary(self, entries: Floats) -> list[object]:
        return self.table.summary(entries)


def token_scoring(classes: Sequence[str]) -> ClassScoring:
    """The scoring of token labels: by `EntityF1` first if they mark entities, otherwise by the accuracy of tokens.

    Args:
        classes: the names of the labels.

    >>> [[metric.name for metric in token_scoring(names).metrics][:2] for names in (("B-PER", "O"), ("ADJ", "NOUN"))]
    [['entity_f1', 'accuracy'], ['accuracy', 'macro_f1']]
    """
    return ClassScoring(
        hard={"hard": {"loss": "cross_entropy"}},
        metrics=(
            *([EntityF1(classes)] if has_entities(classes) else []),
            *map(OverTokens, single_label_metrics(len(classes))),
        ),
        tables={
            "reliability": _TableOverTokens(Reliability()),
            "confusion": _TableOverTokens(Confusion(len(classes))),
        },
        check=_check_tokens,
        known=_count_known,
        adapt=OverTokens,
        label_kind="single_label",
        probabilities=softmax,
    )


def _check_tokens(outputs: Outputs, labels: Labels) -> None:
    logits, target = outputs["logits"], labels["target"]
    if target.ndim != 2 or target.shape != logits.shape[:-1] or logits.ndim != 3 or target.dtype.kind not in "iu":
        raise ArgumentError(
            f"evaluate: target of shape {target.shape} and type {target.dtype} for logits of shape {logits.shape}; "
            "expected one class number for each token, [N, W], and logits [N, W, C]",
            code="wrong_shape",
            path="target",
        )
    check_class_numbers(target[target != _UNKNOWN], logits.shape[-1])


def _count_known(labels: Labels) -> int:
    return int((labels["target"] != _UNKNOWN).sum())
