import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cache.codecs.passing import passed
from limbeck.cache import TopK
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits, kl_divergence
from refusals import refused

FLOOR = -65534 / 2048  # about 1.3e-14


def logits(*shape: int) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("k", [1, 5, 19, 20, 30])
def test_it_keeps_the_largest_and_the_mass_of_the_others(k: int, temperature: float) -> None:
    exact = logits(40, 3, 20)
    found, measured = passed(TopK(k=k, temperature=temperature), exact)
    p = np.exp(exact.double().numpy() / temperature)
    p /= p.sum(-1, keepdims=True)
    listed = min(k, 20)
    assert found.indices.shape == found.values.shape == (40, 3, listed)
    assert (found.classes, found.temperature) == (20, temperature)
    largest = np.sort(p, -1)[..., ::-1][..., :listed]
    kept = np.take_along_axis(p, found.indices.numpy(), -1)
    np.testing.assert_allclose(kept, largest, rtol=1e-6)
    bound = 2**-12 + 1e-5
    assert np.abs(found.values.numpy() - np.log(largest).clip(FLOOR)).max() <= bound
    if k < 20:
        others = np.sort(p, -1)[..., : 20 - k].sum(-1)
        assert np.abs(found.tail.numpy() - np.log(others).clip(FLOOR)).max() <= bound
    else:
        assert found.tail is None
    assert 0 < measured.error <= bound
    assert measured.mass == pytest.approx(largest.sum(-1).mean(), rel=1e-5)


def test_a_tail_of_next_to_nothing_keeps_its_size() -> None:
    found, _ = passed(TopK(k=1), torch.tensor([[25.0, 0.0, 0.0], [1e4, -1e4, 0.0]]))
    assert found.tail.tolist() == pytest.approx([math.log(2) - 25, FLOOR], abs=2**-12)
    assert found.values.tolist() == [[0.0], [0.0]]


def test_the_loss_of_what_is_read_is_that_of_all_logits_if_all_are_kept() -> None:
    teacher, student = logits(40, 20), logits(41, 20)[1:]
    found, _ = passed(TopK(k=20, temperature=2.0), teacher)
    exact = kl_divergence(student, teacher, temperature=2.0)
    torch.testing.assert_close(kl_divergence(student, found, temperature=2.0), exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("classes", [131_072, 128_256, 100_277])
def test_a_large_vocabulary_keeps_25_classes_and_more_within_114_bytes(classes: int) -> None:
    exact = logits(4, classes)
    for k in (25, 27):
        codec = TopK(k=k)
        assert codec.record_bytes((classes,)) <= 114
        assert codec.record_bytes((7, classes)) == 7 * codec.record_bytes((classes,))
        found, _ = passed(codec, exact)
        assert torch.equal(found.indices.sort().values, exact.topk(k).indices.sort().values)


def test_errors_are_those_of_the_logarithms() -> None:
    exact = logits(40, 3, 20)
    codec = TopK(k=4, temperature=2.0)
    found, _ = passed(codec, exact)
    assert codec.errors(found, exact).max() <= 2**-12 + 1e-6
    log_p = (exact / 2).log_softmax(-1)
    for changed in (exact.roll(1, 0), exact.roll(1, -1)):
        log_p = (changed / 2).log_softmax(-1).gather(-1, found.indices)
        assert (codec.errors(found, changed) >= (log_p - found.values).abs().flatten(1).amax(1) - 1e-5).all()
    assert isinstance(found, SparseLogits)


def test_what_cannot_be_kept_is_refused() -> None:
    with refused(ArgumentError, "out_of_range", "k", match=r"topk: k is 0; expected at least 1 class"):
        TopK(k=0)
    with refused(ArgumentError, "out_of_range", "temperature"):
        TopK(k=1, temperature=math.nan)
    for shape in ((), (2**25 + 1,)):
        with refused(ArgumentError, "wrong_shape", "shape"):
            TopK().check(shape)
