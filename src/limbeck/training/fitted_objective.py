"""What a model that is fitted at once minimizes, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.core import Term, source_of

__all__ = ["fitted_objective"]

# How each model of classes measures the distance to the shares of classes, and how each model comes to its minimum.
_gini = "the Gini impurity of"
_entropy = "the cross-entropy with"
_measures = {"decision_tree": _gini, "random_forest": _gini}
_ways = {
    "ridge": "exactly, with a penalty of {l2:g} × the squared norm of the weights of standardized features",
    "logistic_regression": "with a penalty of {half_l2:g} × the squared norm of the weights",
    "decision_tree": "greedily, branch by branch, with at most {leaves} leaves",
    "random_forest": "greedily, branch by branch, in each of {trees} trees on rows drawn at random",
    "gradient_boosting": "greedily, in {trees} trees of at most {leaves} leaves that are added up",
    "lightgbm": "greedily, in {trees} trees of at most {leaves} leaves that are added up",
}


def fitted_objective(terms: Mapping[str, Term], model: Mapping[str, Any], *, numbers: bool) -> str:
    r"""The sentence of a fitted model: "minimises the squared error to 0.1 × labels + 0.9 × outputs of teacher, …".

    For squared errors, :math:`\sum_k w_k (f - t_k)^2` is least where :math:`(f - \bar t)^2` is, with the mean
    :math:`\bar t` of the targets by the weights; for the cross-entropy likewise with shares of classes.

    Args:
        terms: of the objective, by name.
        model: its section, with ``use`` and the options.
        numbers: whether it predicts numbers, rather than classes.

    >>> from limbeck.losses import SquaredError
    >>> inputs = {"student": "student.value", "target": "batch.target"}
    >>> fitted_objective({"hard": Term(SquaredError(), inputs)}, {"use": "ridge", "l2": 1.0}, numbers=True)[:40]
    'minimises the squared error to labels, e'
    """
    weights = {name: float(term.weight) for name, term in terms.items() if float(term.weight) > 0}
    total = sum(weights.values())
    several = len(weights) > 1
    mix = " + ".join(
        f"{f'{weight / total:.4g} × ' if several else ''}{_target(terms[name])}" for name, weight in weights.items()
    )
    measure = "the squared error to" if numbers else _measures.get(model["use"], _entropy)
    options = {**model, "half_l2": model.get("l2", 0.0) / 2}
    counted = "; each part is a mean over the rows that it counts" if several else ""
    return f"minimises {measure} {mix}, {_ways[model['use']].format(**options)}{counted}"


def _target(term: Term) -> str:
    address = term.inputs.get("target", term.inputs.get("teacher", ""))
    source = source_of(address)
    temperature = getattr(term.loss, "temperature", 1.0)
    told = "labels" if source == "batch" else f"outputs of {source}"
    if temperature != 1:
        told += f" at temperature {temperature:g}"
    return told if term.where is None else f"{told} (where {term.where})"
