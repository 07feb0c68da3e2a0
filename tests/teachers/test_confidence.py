from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.cache import as_kept, fields_of
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.losses import CrossEntropy, KLDivergence
from limbeck.teachers import Confidence, Ensemble, Frozen
from refusals import refused


class Given(nn.Module):
    reads = ("batch.inputs",)

    def __init__(self, **outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, board):
        return self.outputs


def test_confidence_is_the_largest_probability() -> None:
    z = np.random.default_rng(0).normal(scale=3.0, size=(40, 5))
    expected = np.array([max(np.exp(row)) / sum(np.exp(row)) for row in z])
    outputs = Confidence(Given(logits=torch.tensor(z), hidden=torch.zeros(1)), threshold=0.7)({})
    np.testing.assert_allclose(outputs["confidence"].numpy(), expected, rtol=1e-12)
    assert outputs["confident"].tolist() == [float(value >= 0.7) for value in expected]
    assert 0 < sum(outputs["confident"]) < 40
    assert set(outputs) == {"logits", "hidden", "confidence", "confident"}


def test_half_precision_does_not_round_confidence() -> None:
    logits = torch.tensor([[6.0, 0.0]], dtype=torch.bfloat16)
    assert Confidence(Given(logits=logits), threshold=0.999)({})["confident"].item() == 0


def test_the_largest_of_the_listed_classes_is_the_largest_of_all() -> None:
    logits = 3 * torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
    fields = fields_of({"logits": logits}, {"logits": {"use": "topk", "k": 4, "temperature": 1.0}})
    kept = as_kept(fields, {"logits": logits})
    found = Confidence(Given(**kept), threshold=0.7)({})
    expected = Confidence(Given(logits=logits), threshold=0.7)({})
    torch.testing.assert_close(found["confidence"], expected["confidence"], rtol=0, atol=2.0**-12)
    assert found["confident"].tolist() == expected["confident"].tolist()
    assert found["logits"] is kept["logits"]


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        ({"use": "topk", "k": 3, "temperature": 2.0}, r"are stored at temperature 2\.0"),
        ({"use": "sampled", "size": 16, "temperature": 1.0}, "are a sample"),
    ],
)
def test_sparse_logits_that_tell_no_confidence_are_refused(codec: dict[str, Any], message: str) -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    kept = as_kept(fields_of({"logits": logits}, {"logits": codec}), {"logits": logits})
    with refused(ArgumentError, "unsupported", "teacher", match=message):
        Confidence(Given(**kept))({})


def test_an_ensemble_refuses_sparse_members() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    kept = as_kept(fields_of({"logits": logits}, {"logits": {"use": "topk", "k": 3}}), {"logits": logits})
    with refused(ArgumentError, "unsupported", "logits"):
        Ensemble({"a": Given(**kept), "b": Given(logits=logits)})({})


def test_unsure_rows_leave_the_sum_and_not_the_count() -> None:
    torch.manual_seed(0)
    inputs, target = torch.randn(16, 4), torch.randint(0, 3, (16,))
    big = nn.Linear(4, 3)
    teacher = Confidence(Frozen(big), threshold=0.6)
    terms = {"hard": Term(CrossEntropy()), "soft": Term(KLDivergence(), scale="teacher.confident")}
    student = nn.Linear(4, 3)
    step = Distiller(student, terms, {"teacher": teacher})({"inputs": inputs, "target": target})
    sure = torch.softmax(big(inputs), -1).amax(-1) >= 0.6
    assert 0 < int(sure.sum()) < 16
    per_row = nn.functional.kl_div(
        torch.log_softmax(student(inputs), -1), torch.softmax(big(inputs), -1), reduction="none"
    ).sum(-1)
    assert step.terms["soft"].count == 16
    torch.testing.assert_close(step.terms["soft"].sum, per_row[sure].sum())


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_probability(threshold: float) -> None:
    with pytest.raises(ArgumentError, match="must be a probability"):
        Confidence(Given(), threshold=threshold)


def test_a_name_that_is_taken() -> None:
    with pytest.raises(ArgumentError, match="an output called 'confidence' itself"):
        Confidence(Given(logits=torch.zeros(1, 2), confidence=torch.zeros(1)))({})
