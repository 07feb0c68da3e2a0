import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits, kl_divergence, reverse_kl, soft_cross_entropy
from limbeck.losses.sparse_logits import log_buckets
from losses.inputs import draw_logits
from refusals import refused

LOSSES = [kl_divergence, soft_cross_entropy, reverse_kl]
Loss = Callable[..., Tensor]
every = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
means = pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.__name__)


def sparse(logits: Tensor, k: int, temperature: float = 1.0, *, tail: bool = True) -> SparseLogits:
    """The k largest, and the sum over the others."""
    values, indices = (logits / temperature).topk(k)
    others = (logits / temperature).scatter(-1, indices, -math.inf).logsumexp(-1) if tail else None
    return SparseLogits(indices, values, others, logits.shape[-1], temperature)


def oracle(name: str, student: Tensor, teacher: SparseLogits) -> NDArray[np.float64]:
    """Row by row with probabilities, from the definition: the tail of both is a sum over all classes left out."""
    z = student.detach().double().reshape(-1, teacher.classes).numpy() / teacher.temperature
    listed = teacher.indices.reshape(len(z), -1).tolist()
    scores = teacher.values.double().reshape(len(z), -1).tolist()
    tails = [None] * len(z) if teacher.tail is None else teacher.tail.double().flatten().tolist()
    rows = []
    for row, classes, values, tail in zip(z, listed, scores, tails, strict=True):
        q_all = [math.exp(x) for x in row]
        q = [q_all[c] / math.fsum(q_all) for c in classes]
        q.append(math.fsum(x for c, x in enumerate(q_all) if c not in classes) / math.fsum(q_all))
        p = [math.exp(x) for x in values] + ([] if tail is None else [math.exp(tail)])
        p = [x / math.fsum(p) for x in p]
        pairs = list(zip(p, q, strict=False))
        value = {
            "kl_divergence": lambda pairs=pairs: math.fsum(a * math.log(a / b) for a, b in pairs if a),
            "soft_cross_entropy": lambda pairs=pairs: -math.fsum(a * math.log(b) for a, b in pairs),
            "reverse_kl": lambda pairs=pairs: math.fsum(b * math.log(b / a) for a, b in pairs),
        }[name]()
        rows.append(teacher.temperature**2 * value)
    return np.array(rows).reshape(student.shape[:-1])


@every
@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_value_is_the_oracles(loss: Loss, k: int, temperature: float) -> None:
    student, logits = draw_logits(5, 7)
    teacher = sparse(logits, k, temperature)
    expected = torch.from_numpy(oracle(loss.__name__, student, teacher))
    torch.testing.assert_close(loss(student, teacher, temperature=temperature), expected, rtol=1e-12, atol=1e-12)


@means
def test_value_without_a_tail_is_the_oracles(loss: Loss) -> None:
    student, logits = draw_logits(5, 7)
    teacher = sparse(logits, 3, tail=False)
    expected = torch.from_numpy(oracle(loss.__name__, student, teacher))
    torch.testing.assert_close(loss(student, teacher), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "k", "tail"),
    [(loss, k, tail) for loss in LOSSES for k, tail in ((2, True), (7, False))]
    + [(loss, 2, False) for loss in LOSSES[:2]],
)
def test_gradient_is_that_of_finite_differences(loss: Loss, k: int, tail: bool) -> None:
    student, logits = draw_logits(5, 7)
    teacher = sparse(logits, k, 2.0, tail=tail)
    assert torch.autograd.gradcheck(lambda z: loss(z, teacher, temperature=2.0), student)


@every
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_with_all_classes_it_is_the_loss_of_all_logits(loss: Loss, temperature: float) -> None:
    student, logits = draw_logits(2, 3, 7)
    dense = loss(student, logits, temperature=temperature)
    (expected,) = torch.autograd.grad(dense.sum(), student)
    for teacher in (sparse(logits, 7, temperature, tail=False), sparse(logits, 6, temperature)):
        value = loss(student, teacher, temperature=temperature)
        torch.testing.assert_close(value, dense)
        torch.testing.assert_close(torch.autograd.grad(value.sum(), student)[0], expected)


@pytest.mark.parametrize("loss", [kl_divergence, reverse_kl], ids=lambda loss: loss.__name__)
def test_a_bucket_never_adds_divergence(loss: Loss) -> None:
    student, logits = draw_logits(200, 7)
    values = [loss(student, sparse(logits, k)) for k in (1, 2, 4, 6)]
    for fewer, more in itertools.pairwise(values):
        assert (fewer <= more + 1e-12).all()
    assert (values[0] > 0).all()


@every
def test_a_shift_of_the_rows_numbers_changes_nothing(loss: Loss) -> None:
    student, logits = draw_logits(5, 7)
    teacher = sparse(logits, 3)
    assert teacher.tail is not None
    shifted = teacher._replace(values=teacher.values + 5, tail=teacher.tail + 5)
    torch.testing.assert_close(loss(student, shifted), loss(student, teacher))


@every
@pytest.mark.parametrize("size", [1e4, 1e3])
def test_a_tail_below_a_floats_precision_keeps_value_and_gradient(loss: Loss, size: float) -> None:
    # The student is sure of the class that is listed; the teacher puts a third of its mass elsewhere.
    student = torch.tensor([[size, -size, -size, 0.0], [20.0, -1.0, 0.0, 1.0]], requires_grad=True)
    teacher = sparse(torch.tensor([[math.log(2.0), -40.0, -40.0, 0.0]] * 2), 1)
    value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    exact = student.detach().double().requires_grad_()
    buckets = torch.stack([exact[:, 0], exact[:, 1:].logsumexp(-1)], -1)
    expected = loss(buckets, torch.tensor([[math.log(2.0), 0.0]], dtype=torch.float64).expand(2, 2))
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradient.double(), torch.autograd.grad(expected.sum(), exact)[0], rtol=1e-4, atol=1e-6, check_dtype=False
    )


@means
def test_an_entry_without_probability_counts_nothing_even_if_its_class_is_repeated(loss: Loss) -> None:
    student, logits = draw_logits(5, 7)
    whole = sparse(logits, 3, tail=False)
    with_full_batches = whole._replace(
        indices=torch.cat([whole.indices, whole.indices[:, :1], torch.zeros(5, 1, dtype=torch.int64)], -1),
        values=torch.cat([whole.values, torch.full((5, 2), -math.inf, dtype=torch.float64)], -1),
    )
    expected, value = loss(student, whole), loss(student, with_full_batches)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value.sum(), student)[0], torch.autograd.grad(expected.sum(), student)[0]
    )


@means
def test_the_mean_gradient_over_samples_is_that_of_all_classes(loss: Loss) -> None:
    student, logits = draw_logits(1, 7)
    generator = torch.Generator().manual_seed(1)
    classes = torch.multinomial(logits[0].softmax(-1), 40_000, replacement=True, generator=generator)[:, None]
    teacher = SparseLogits(classes, torch.zeros(40_000, 1, dtype=torch.float64), None, 7)
    value = loss(student.expand(40_000, 7), teacher).mean()
    (gradient,) = torch.autograd.grad(value, student)
    (expected,) = torch.autograd.grad(loss(student, logits).sum(), student)
    # Each entry's standard error is at most sqrt(1/4 / 40,000) = 0.0025.
    assert (gradient - expected).abs().max() < 0.01
    assert expected.abs().max() > 0.1


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss: Loss, dtype: torch.dtype) -> None:
    student, logits = draw_logits(5, 7, dtype=dtype)
    teacher = sparse(logits, 3)
    value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert teacher.tail is not None
    exact = teacher._replace(values=teacher.values.double(), tail=teacher.tail.double())
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value.double(), loss(student.double(), exact), rtol=1e-5, atol=1e-5)


def test_only_the_logits_are_kept_for_the_backward_pass() -> None:
    student, logits = draw_logits(4, 1000, dtype=torch.float32)
    teacher = sparse(logits, 5, 2.0)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        kl_divergence(student, teacher, temperature=2.0).sum()
    large = [tensor for tensor in kept if tensor.numel() >= 4 * 1000]
    assert [tensor.data_ptr() for tensor in large] == [student.data_ptr()]


@every
def test_compiled_whole(loss: Loss) -> None:
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for rows, temperature in ((7, 1.0), (5, 2.0)):
        student, logits = draw_logits(rows, 6)
        teacher = sparse(logits, 3, temperature)
        value, expected = (f(student, teacher, temperature=temperature) for f in (compiled, loss))
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(
            torch.autograd.grad(value.sum(), student)[0], torch.autograd.grad(expected.sum(), student)[0]
        )


@every
def test_no_rows_give_no_values(loss: Loss) -> None:
    student = torch.zeros(0, 7, requires_grad=True)
    value = loss(student, sparse(torch.zeros(0, 7), 3))
    assert value.shape == (0,)
    assert torch.autograd.grad(value.sum(), student)[0].shape == (0, 7)


@every
def test_another_temperature_and_standardization_are_rejected(loss: Loss) -> None:
    student, logits = draw_logits(5, 7)
    with refused(ArgumentError, "mismatch", "temperature"):
        loss(student, sparse(logits, 3, 4.0), temperature=2.0)
    moving = torch.tensor(4.0)
    with refused(ArgumentError, "unsupported", "temperature"):
        loss(student, sparse(logits, 3, 4.0), temperature=moving)
    with refused(ArgumentError, "unsupported", "standardize"):
        loss(student, sparse(logits, 3), standardize=True)


@every
def test_shapes_that_do_not_fit_are_rejected(loss: Loss) -> None:
    student, logits = draw_logits(5, 7)
    teacher = sparse(logits, 3)
    assert teacher.tail is not None
    with refused(ArgumentError, "wrong_shape", "student", match=r"shape \[5, 6\], expected floating logits \[\*, 7\]"):
        loss(student[:, :6], teacher)
    for wrong in (sparse(logits[:4], 3), teacher._replace(tail=teacher.tail[:4]), teacher._replace(values=logits)):
        with refused(
            ArgumentError,
            "wrong_shape",
            "student",
            match=r"student has shape \[5, 7\], the teacher's indices .* the same rows",
        ):
            loss(student, wrong)


def test_a_divergence_that_is_infinite_is_rejected() -> None:
    student, logits = draw_logits(5, 7)
    with refused(ArgumentError, "unsupported", "teacher"):
        reverse_kl(student, sparse(logits, 3, tail=False))
    assert reverse_kl(student, sparse(logits, 7, tail=False)).isfinite().all()


def test_buckets_sum_to_1() -> None:
    student, logits = draw_logits(5, 7)
    value = log_buckets(student, logits.topk(3).indices, 2.0, tail=True)
    torch.testing.assert_close(value.exp().sum(-1), torch.ones(5, dtype=torch.float64))
