from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.measure import MaskedAgreement, MaskedWordScoring, answers, evaluate, main_score

ROWS, WORDS, ENTRIES = 40, 5, 11


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits over a vocabulary `[N, M, V]`, and words of which rows have one to five."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(ROWS, WORDS, ENTRIES, generator=draw, dtype=torch.float64)
    target = torch.randint(ENTRIES, (ROWS, WORDS), generator=torch.Generator().manual_seed(0))
    many = torch.randint(1, WORDS + 1, (ROWS,), generator=torch.Generator().manual_seed(1))
    target[torch.arange(WORDS) >= many[:, None]] = -100
    return logits, target


def said(logits: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    found, asked = np.zeros((ROWS, WORDS, 2)), target.numpy() != -100
    found[asked] = answers(logits.numpy()[asked], target.numpy()[asked])
    return found


def test_figures_are_those_over_all_words_whatever_their_rows() -> None:
    (logits, target), (teacher, _) = drawn(2), drawn(3)
    found = evaluate(
        {"student": [said(logits, target)], "teacher": [said(teacher, target)]},
        target.numpy(),
        teacher="teacher",
        comparisons=[("student", "teacher")],
        scoring=MaskedWordScoring(),
        draws=200,
    )
    asked = target != -100
    entropy = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100).item()
    called = logits.argmax(-1)
    expected = {
        "masked_accuracy": (called == target)[asked].double().mean().item(),
        "masked_cross_entropy": entropy,
        "masked_perplexity": math.exp(entropy),
        "masked_agreement": (called == teacher.argmax(-1))[asked].double().mean().item(),
    }
    metrics = found.models["student"].metrics
    assert {name: one.value for name, one in metrics.items()} == pytest.approx(expected)
    assert "masked_agreement" not in found.models["teacher"].metrics
    for one in metrics.values():
        assert one.low < one.value < one.high
    assert {one.metric for one in found.comparisons} == set(expected) - {"masked_agreement"}


def test_what_is_refused() -> None:
    logits, target = drawn(2)
    with pytest.raises(ArgumentError, match=r"expected \[N, M\] and \[N, M, 2\]"):
        evaluate({"student": [logits.numpy()]}, target.numpy(), scoring=MaskedWordScoring())
    nothing = np.full((3, 1), -100)
    with pytest.raises(ArgumentError, match=r"no word is hidden in any row"):
        evaluate({"student": [np.zeros((3, 1, 2))]}, nothing, scoring=MaskedWordScoring())
    with pytest.raises(ArgumentError, match="masked_agreement: no teacher's logits"):
        MaskedAgreement().rows(np.zeros((3, 1, 2)), nothing, None)


def test_draws_without_a_hidden_word_have_a_figure() -> None:
    target = np.array([[7], [-100], [-100]])
    said = np.array([[[-1.0, 7]], [[0.0, 0]], [[0.0, 0]]])
    found = evaluate({"student": [said]}, target, scoring=MaskedWordScoring()).models["student"].metrics
    assert all(math.isfinite(end) for one in found.values() for end in (one.low, one.value, one.high))
    assert found["masked_accuracy"].value == 1.0
    assert main_score(MaskedWordScoring(), np.zeros((2, 0, 2)), np.zeros((2, 0), np.int64)) == {"masked_accuracy": 0.0}
