"""What a task says of its files."""

from __future__ import annotations

import pytest

from limbeck.errors import ArgumentError
from limbeck.export import Delivery
from limbeck.export.predictors.resolve import resolve_predictor
from limbeck.tasks import ImageClassification, TextClassification, TokenClassification


@pytest.mark.parametrize("name", ["", "limbeck.export", ":predict", "a:b:c", "a.b:"])
def test_a_predictor_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match="expected 'module:function'"):
        Delivery(predictor=name)


@pytest.mark.parametrize(
    "delivery",
    [Delivery(), ImageClassification.delivery, TextClassification.delivery, TokenClassification.delivery],
    ids=lambda delivery: delivery.predictor,
)
def test_the_predictors_of_tasks_are_there(delivery: Delivery) -> None:
    module, _, function = delivery.predictor.partition(":")
    found = resolve_predictor(delivery.predictor)
    assert (found.__module__, found.__name__) == (module, function)
