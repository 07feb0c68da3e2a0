import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cache.codecs.passing import passed
from limbeck.cache import Sampled
from limbeck.cache.codecs.sample_record import SampleRecord
from limbeck.cache.codecs.sampled import Drawn, draw_sample
from limbeck.errors import ArgumentError
from limbeck.functional import kl_divergence
from refusals import refused

CLASSES = 30


def logits(*shape: int) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def uniform(draws: int) -> Tensor:
    return torch.randint(2**32, (draws,), generator=torch.Generator().manual_seed(1)).double() / 2**32


def chosen(p: NDArray[np.float64], record: SampleRecord) -> tuple[list[int], float]:
    """The certain classes and τ, by trying every number of certain ones."""
    order = np.argsort(-p, kind="stable")
    for certain, draws in enumerate(record.draws):
        rest = math.fsum(p[order[certain:]])
        weight = rest / draws if draws else 0.0
        if certain == len(p) or p[order[certain]] <= weight:
            return order[:certain].tolist(), weight
    raise AssertionError("no number fits")


def weights(drawn: Drawn) -> Tensor:
    """What a draw says of every class, `[n, C]`."""
    slot = torch.arange(drawn.indices.shape[1])
    logs = F.pad(drawn.logs, (0, len(slot) - drawn.logs.shape[1]))
    own = torch.where(slot < drawn.certain[:, None], logs, drawn.weight[:, None]).exp()
    there = (drawn.indices != 0).cumsum(1).max(1).values  # the table has no class 0 with any probability
    assert (there == (drawn.indices != 0).sum(1)).all()
    own = own.where(drawn.indices != 0, 0)
    return torch.zeros(len(own), CLASSES, dtype=torch.float64).scatter_add_(1, drawn.indices, own)


def distribution(sharpness: float, *rows: int) -> Tensor:
    """Class 0 has no probability, so that it stands for an empty place."""
    scores = sharpness * logits(*rows, CLASSES).double()
    scores[..., 0] = -math.inf
    return scores.softmax(-1)


@pytest.mark.parametrize("size", [5, 8, 12, 20, 40])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 5.0])
def test_its_mean_is_the_distribution_and_its_variance_that_of_the_threshold(size: int, sharpness: float) -> None:
    record, p, draws = SampleRecord.fitting(CLASSES, size), distribution(sharpness), 20_000
    found = weights(draw_sample(p.expand(draws, CLASSES), uniform(draws), record))
    certain, weight = chosen(p.numpy(), record)
    variance = p * (weight - p)
    variance[certain] = 0
    assert ((found.mean(0) - p).abs() <= 5 * (variance / draws).sqrt() + 1e-12).all()
    torch.testing.assert_close(found.var(0), variance, rtol=0.3, atol=2e-4)


@pytest.mark.parametrize("size", [5, 8, 12, 20, 40, 83])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 5.0])
def test_every_draw_is_full_and_sums_to_1(size: int, sharpness: float) -> None:
    record, p = SampleRecord.fitting(CLASSES, size), distribution(sharpness, 300)
    drawn = draw_sample(p, uniform(300), record)
    torch.testing.assert_close(weights(drawn).sum(1), torch.ones(300, dtype=torch.float64))
    torch.testing.assert_close(p.gather(1, drawn.indices).sum(1), drawn.mass)
    for row, m, weight, indices in zip(p.numpy(), drawn.certain, drawn.weight, drawn.indices, strict=True):
        certain, expected = chosen(row, record)
        there = [number for number in indices.tolist() if number]
        assert there[: int(m)] == certain
        assert math.exp(weight) == pytest.approx(expected, rel=1e-9, abs=1e-300)
        assert len(set(there)) == len(there)
        # All classes but the empty one are certain if they fit.
        assert len(there) == (CLASSES - 1 if m >= CLASSES - 1 else int(m) + record.draws[m])


@pytest.mark.parametrize("place", [0.0, 0.3, 1 - 2**-32])
@pytest.mark.parametrize("likely", [1, 2, 3])
def test_classes_without_probability_are_never_drawn(place: float, likely: int) -> None:
    scores = torch.full((1, CLASSES), -1e4, dtype=torch.float64)
    scores[0, 5 : 5 + likely] = 1e4
    record = SampleRecord.fitting(CLASSES, 20)
    found = weights(draw_sample(scores.softmax(1), torch.tensor([place], dtype=torch.float64), record))
    assert found[0].nonzero().flatten().tolist() == list(range(5, 5 + likely))
    assert found.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("gap", [30.0, 36.0, 40.0, 100.0, 700.0])
def test_a_sure_teacher_keeps_its_class_and_the_unlikely_ones_share_what_is_left(gap: float) -> None:
    scores = torch.zeros(1, CLASSES, dtype=torch.float64)
    scores[0, 7] = gap
    record = SampleRecord.fitting(CLASSES, 12)
    drawn = draw_sample(scores.softmax(1).expand(200, CLASSES), uniform(200), record)
    assert (drawn.certain == 1).all()
    assert (drawn.indices[:, 0] == 7).all()
    expected = math.log((CLASSES - 1) / record.draws[1]) - gap
    torch.testing.assert_close(drawn.weight, torch.full_like(drawn.weight, expected))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_mean_gradient_is_that_of_all_classes(temperature: float) -> None:
    teacher, student = logits(1, CLASSES), logits(2, CLASSES)[1:].double().requires_grad_()
    draws = 20_000
    codec = Sampled(size=12, temperature=temperature)
    found, _ = passed(codec, teacher.expand(draws, CLASSES))
    loss = kl_divergence(student.expand(draws, CLASSES), found, temperature=temperature).mean()
    exact = kl_divergence(student, teacher.double(), temperature=temperature).sum()
    (gradient,), (expected,) = (torch.autograd.grad(value, student) for value in (loss, exact))
    p = (teacher[0].double() / temperature).softmax(0)
    certain, weight = chosen(p.numpy(), SampleRecord.fitting(CLASSES, 12))
    deviation = (p * (weight - p).clamp(min=0) / draws).sqrt() * temperature
    deviation[certain] = 0
    assert len(certain) == (2 if temperature == 1 else 1)
    assert ((gradient - expected)[0].abs() <= 5 * deviation + 2**-11 * temperature * p).all()


@pytest.mark.parametrize("size", [4, 5, 9, 20, 83])
@pytest.mark.parametrize("sharpness", [0.3, 2.0])
def test_what_is_read_is_what_was_drawn(size: int, sharpness: float) -> None:
    exact = sharpness * logits(40, 3, CLASSES)
    found, measured = passed(Sampled(size=size), exact)
    record = SampleRecord.fitting(CLASSES, size)
    assert found.tail is None
    assert (found.classes, found.temperature) == (CLASSES, 1.0)
    kept = 0.0
    rows = zip(exact.double().softmax(-1).flatten(0, 1), *(part.flatten(0, 1) for part in found[:2]), strict=True)
    for p, indices, values in rows:
        certain, weight = chosen(p.numpy(), record)
        there = indices[values.isfinite()]
        assert there[: len(certain)].tolist() == certain
        assert len(there.unique()) == len(there) == len(certain) + record.draws[len(certain)]
        expected = torch.cat([p[certain], torch.full((len(there) - len(certain),), weight)]).log()
        assert (values[: len(there)] - expected).abs().max() <= 2**-12 + 1e-6
        assert not indices[len(there) :].any()
        kept += float(p[there].sum()) / 120
    assert 0 < measured.error <= 2**-12 + 1e-6
    assert measured.mass == pytest.approx(kept)


def test_a_draw_depends_on_the_seed_and_the_entry_alone() -> None:
    exact = logits(12, 5, CLASSES)
    whole, _ = passed(Sampled(size=8), exact)
    parts, _ = passed(Sampled(size=8), exact, shards=5)
    later, _ = passed(Sampled(size=8), exact[4:7], first=4)
    for name in ("indices", "values"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))
        assert torch.equal(getattr(later, name), getattr(whole, name)[4:7])
    elsewhere, _ = passed(Sampled(size=8), exact, first=1)
    reseeded, _ = passed(Sampled(size=8, seed=1), exact)
    same = logits(1, 1, CLASSES).expand(12, 5, CLASSES)
    repeated, _ = passed(Sampled(size=8), same)
    assert not torch.equal(elsewhere.indices, whole.indices)
    assert not torch.equal(reseeded.indices, whole.indices)
    assert len({tuple(row) for row in repeated.indices.flatten(0, 1).tolist()}) > 10


def test_errors_tell_another_teacher() -> None:
    exact = logits(40, 3, CLASSES)
    codec = Sampled(size=15)
    found, _ = passed(codec, exact)
    assert codec.errors(found, exact).max() <= 2**-12 + 1e-6
    assert (codec.errors(found, exact.roll(1, 0)) > 0.1).all()


def test_classes_in_many_rows_are_drawn_in_parts() -> None:
    class InParts(Sampled):
        at_once = 7 * CLASSES

    exact = logits(12, 5, CLASSES)
    whole, _ = passed(Sampled(size=8), exact)
    parts, _ = passed(InParts(size=8), exact)
    assert torch.equal(parts.indices, whole.indices)
    assert torch.equal(parts.values, whole.values)


@pytest.mark.parametrize("classes", [2, 10, 30, 1000, 131_072])
@pytest.mark.parametrize("size", [6, 20, 60, 120])
def test_a_record_holds_what_fits_and_no_more(classes: int, size: int) -> None:
    record, bits = SampleRecord.fitting(classes, size), max(1, math.ceil(math.log2(classes)))
    assert record.size == Sampled(size=size).record_bytes((classes,)) <= size
    for certain, draws in enumerate(record.draws):
        assert 24 + (bits + 16) * certain + bits * draws <= 8 * record.size
        if certain < len(record.draws) - 1:
            more = 24 + (bits + 16) * certain + bits * (draws + 1)
            assert more > 8 * record.size or certain + draws == classes
    all_certain = 24 + (bits + 16) * classes <= 8 * size
    assert record.draws[-1] == (0 if all_certain else 1)
    assert not all_certain or len(record.draws) == classes + 1


def test_what_cannot_be_kept_is_refused() -> None:
    with refused(ArgumentError, "out_of_range", "temperature"):
        Sampled(temperature=0.0)
    with refused(ArgumentError, "out_of_range", "seed"):
        Sampled(seed=-1)
    with refused(ArgumentError, "wrong_shape", "shape"):
        Sampled().check(())
    for size in (5, 2000):
        with refused(ArgumentError, "out_of_range", "size"):
            Sampled(size=size).check((131_072,))
