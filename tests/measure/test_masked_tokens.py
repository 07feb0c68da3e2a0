from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.measure import MaskedAgreement, evaluate, main_score, masked_token_outputs, masked_token_scoring
from refusals import refused

ROWS, WORDS, ENTRIES = 40, 5, 11


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits over a vocabulary `[N, M, V]`, and tokens of which rows have one to five."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(ROWS, WORDS, ENTRIES, generator=draw, dtype=torch.float64)
    target = torch.randint(ENTRIES, (ROWS, WORDS), generator=torch.Generator().manual_seed(0))
    many = torch.randint(1, WORDS + 1, (ROWS,), generator=torch.Generator().manual_seed(1))
    target[torch.arange(WORDS) >= many[:, None]] = -100
    return logits, target


def outputs_of(logits: torch.Tensor, target: torch.Tensor) -> dict[str, np.ndarray]:
    masked = target.numpy() != -100
    padded = outputs_of_size(ROWS, WORDS)
    for name, values in masked_token_outputs(logits.numpy()[masked], target.numpy()[masked]).items():
        padded[name][masked] = values
    return padded


def outputs_of_size(rows: int, tokens: int) -> dict[str, np.ndarray]:
    return {"log_likelihood": np.zeros((rows, tokens)), "predicted": np.zeros((rows, tokens), np.int64)}


def test_values_are_those_over_all_tokens_whatever_their_rows() -> None:
    (logits, target), (teacher, _) = drawn(2), drawn(3)
    found = evaluate(
        {"student": [outputs_of(logits, target)], "teacher": [outputs_of(teacher, target)]},
        target.numpy(),
        reference="teacher",
        comparisons=[("student", "teacher")],
        scoring=masked_token_scoring(),
        draws=200,
    )
    masked = target != -100
    entropy = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100).item()
    called = logits.argmax(-1)
    expected = {
        "masked_accuracy": (called == target)[masked].double().mean().item(),
        "masked_cross_entropy": entropy,
        "masked_perplexity": math.exp(entropy),
        "masked_agreement": (called == teacher.argmax(-1))[masked].double().mean().item(),
    }
    metrics = found.models["student"].metrics
    assert {name: one.value for name, one in metrics.items()} == pytest.approx(expected)
    assert "masked_agreement" not in found.models["teacher"].metrics
    for one in metrics.values():
        assert one.low < one.value < one.high
    assert {one.metric for one in found.comparisons} == set(expected) - {"masked_agreement"}


def test_what_is_refused() -> None:
    logits, target = drawn(2)
    with refused(ArgumentError, "wrong_shape", "target", match=r"\(40, 5\), \(40, 4\)\]; expected \[N, M\] each"):
        evaluate({"student": [outputs_of(logits, target)]}, target.numpy()[:, :4], scoring=masked_token_scoring())
    nothing = np.full((3, 1), -100)
    with refused(ArgumentError, "missing", "labels"):
        evaluate({"student": [outputs_of_size(3, 1)]}, nothing, scoring=masked_token_scoring())
    with refused(ArgumentError, "missing", "reference"):
        MaskedAgreement().statistics(outputs_of_size(3, 1), {"target": nothing}, None)


def test_draws_without_a_masked_token_have_a_value() -> None:
    target = np.array([[7], [-100], [-100]])
    outputs = {"log_likelihood": np.array([[-1.0], [0.0], [0.0]]), "predicted": np.array([[7], [0], [0]])}
    found = evaluate({"student": [outputs]}, target, scoring=masked_token_scoring()).models["student"].metrics
    assert all(math.isfinite(end) for one in found.values() for end in (one.low, one.value, one.high))
    assert found["masked_accuracy"].value == 1.0
    empty = {"target": np.zeros((2, 0), np.int64)}
    assert main_score(masked_token_scoring(), outputs_of_size(2, 0), empty) == ("masked_accuracy", 0.0, True)
