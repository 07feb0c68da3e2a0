import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cache.codecs.passing import passed
from limbeck.cache import Sampled
from limbeck.cache.codecs.sampled import draw_sample
from limbeck.errors import ArgumentError
from limbeck.functional import kl_divergence

CLASSES = 30


def logits(*shape: int) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def uniform(draws: int) -> Tensor:
    return torch.randint(2**32, (draws,), generator=torch.Generator().manual_seed(1)).double() / 2**32


def threshold(p: NDArray[np.float64], k: int) -> float:
    """τ with Σ min(1, p / τ) = k, by halving."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, p / middle).sum() > k else (low, middle)
    return high


def weights(found: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What a draw says of every class, `[n, C]`."""
    indices, logs, _ = found
    return torch.zeros(len(indices), CLASSES, dtype=torch.float64).scatter_add_(1, indices, logs.exp())


@pytest.mark.parametrize("k", [1, 4, 10, 29])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_its_mean_is_the_distribution_and_its_variance_that_of_the_threshold(k: int, sharpness: float) -> None:
    p = (sharpness * logits(CLASSES).double()).softmax(0)
    draws = 20_000
    places = uniform(draws)
    found = weights(draw_sample(p.expand(draws, CLASSES), places, k))
    variance = p * (threshold(p.numpy(), k) - p).clamp(min=0)
    error = (found.mean(0) - p).abs()
    assert (error <= 5 * (variance / draws).sqrt() + 1e-12).all()
    torch.testing.assert_close(found.var(0), variance, rtol=0.3, atol=2e-4)


@pytest.mark.parametrize("k", [1, 4, 10, 30])
def test_every_draw_holds_k_different_classes_that_sum_to_1(k: int) -> None:
    p = logits(500, CLASSES).double().softmax(1)
    places = uniform(500)
    indices, logs, mass = draw_sample(p, places, k)
    assert all(len(set(row)) == k for row in indices.tolist())
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(500, dtype=torch.float64))
    torch.testing.assert_close(p.gather(1, indices).sum(1), mass)
    for row, classes, log in zip(p.numpy(), indices.tolist(), logs.tolist(), strict=True):
        expected = np.maximum(row[classes], threshold(row, k))
        np.testing.assert_allclose(np.exp(log), expected, rtol=1e-9)


@pytest.mark.parametrize("place", [0.0, 0.3, 1 - 2**-32])
@pytest.mark.parametrize("certain", [1, 2, 3])
def test_classes_without_probability_are_never_drawn(place: float, certain: int) -> None:
    scores = torch.full((1, CLASSES), -1e4, dtype=torch.float64)
    scores[0, 5 : 5 + certain] = 1e4
    indices, logs, mass = draw_sample(scores.softmax(1), torch.tensor([place], dtype=torch.float64), 3)
    assert indices[0, :certain].tolist() == list(range(5, 5 + certain))
    assert logs.exp().tolist() == [pytest.approx([1 / certain] * certain + [0.0] * (3 - certain))]
    assert mass.item() == pytest.approx(1)


@pytest.mark.parametrize("gap", [30.0, 36.0, 40.0, 100.0, 700.0])
def test_a_sure_teacher_keeps_its_class_and_its_unlikely_ones_their_share(gap: float) -> None:
    scores = torch.zeros(1, CLASSES, dtype=torch.float64)
    scores[0, 7] = gap
    places = torch.arange(200, dtype=torch.float64) / 256
    indices, logs, _ = draw_sample(scores.softmax(1).expand(200, CLASSES), places, 4)
    assert (indices == 7).any(1).all()
    others = logs[indices != 7].view(200, 3)
    torch.testing.assert_close(others, torch.full_like(others, math.log((CLASSES - 1) / 3) - gap))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_mean_gradient_is_that_of_all_classes(temperature: float) -> None:
    teacher, student = logits(1, CLASSES), logits(2, CLASSES)[1:].double().requires_grad_()
    draws = 20_000
    found, _ = passed(Sampled(k=4, temperature=temperature), teacher.expand(draws, CLASSES))
    loss = kl_divergence(student.expand(draws, CLASSES), found, temperature=temperature).mean()
    exact = kl_divergence(student, teacher.double(), temperature=temperature).sum()
    (gradient,), (expected,) = (torch.autograd.grad(value, student) for value in (loss, exact))
    p = (teacher[0].double() / temperature).softmax(0)
    deviation = (p * (threshold(p.numpy(), 4) - p).clamp(min=0) / draws).sqrt() * temperature
    assert ((gradient - expected)[0].abs() <= 5 * deviation + 3e-4 * expected.abs().max()).all()


def test_what_is_read_is_what_was_drawn() -> None:
    exact = logits(40, 3, CLASSES)
    found, measured = passed(Sampled(k=6), exact)
    assert found.tail is None
    assert (found.classes, found.temperature) == (CLASSES, 1.0)
    p = exact.double().softmax(-1)
    kept = p.gather(-1, found.indices)
    tau = torch.tensor([[[threshold(row.numpy(), 6)] for row in entry] for entry in p])
    assert (found.values - kept.maximum(tau).log()).abs().max() <= 2**-12 + 1e-6
    assert 0 < measured.error <= 2**-12 + 1e-6
    assert measured.mass == pytest.approx(float(kept.sum(-1).mean()))


def test_a_draw_depends_on_the_seed_and_the_entry_alone() -> None:
    exact = logits(12, 5, CLASSES)
    whole, _ = passed(Sampled(k=3), exact)
    parts, _ = passed(Sampled(k=3), exact, shards=5)
    later, _ = passed(Sampled(k=3), exact[4:7], first=4)
    for name in ("indices", "values"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))
        assert torch.equal(getattr(later, name), getattr(whole, name)[4:7])
    elsewhere, _ = passed(Sampled(k=3), exact, first=1)
    reseeded, _ = passed(Sampled(k=3, seed=1), exact)
    same = logits(1, 1, CLASSES).expand(12, 5, CLASSES)
    repeated, _ = passed(Sampled(k=3), same)
    assert not torch.equal(elsewhere.indices, whole.indices)
    assert not torch.equal(reseeded.indices, whole.indices)
    assert len({tuple(row) for row in repeated.indices.flatten(0, 1).tolist()}) > 10


def test_errors_tell_another_teacher() -> None:
    exact = logits(40, 3, CLASSES)
    codec = Sampled(k=6)
    found, _ = passed(codec, exact)
    assert codec.errors(found, exact).max() <= 2**-12 + 1e-6
    assert (codec.errors(found, exact.roll(1, 0)) > 0.1).all()


def test_classes_in_many_rows_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = logits(12, 5, CLASSES)
    whole, _ = passed(Sampled(k=3), exact)
    monkeypatch.setattr("limbeck.cache.codecs.sampled._AT_ONCE", 7 * CLASSES)
    parts, _ = passed(Sampled(k=3), exact)
    assert torch.equal(parts.indices, whole.indices)
    assert torch.equal(parts.values, whole.values)


def test_bytes_of_a_large_vocabulary() -> None:
    assert Sampled(k=27).record_bytes((131_072,)) == math.ceil(27 * 17 / 8) + 2 * 27 <= 114


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"sampled: k is 4 and temperature is 0\.0"):
        Sampled(k=4, temperature=0.0)
    with pytest.raises(ArgumentError, match=r"sampled: seed is -1"):
        Sampled(seed=-1)
    with pytest.raises(ArgumentError, match=r"sampled: an entry has shape \[\]"):
        Sampled().check(())
