import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from limbeck.errors import ArgumentError
from limbeck.functional import cross_entropy, soft_cross_entropy
from limbeck.losses import CrossEntropy
from refusals import refused

WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.3, 0.7], dtype=torch.float64)
settings = pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.2}, {"class_weights": WEIGHTS}, {"label_smoothing": 0.2, "class_weights": WEIGHTS}],
    ids=["plain", "smoothed", "weighted", "both"],
)


def draw(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = 2 * torch.randn((*shape, 5), generator=generator, dtype=torch.float64)
    return student.requires_grad_(), torch.randint(5, shape, generator=generator)


def named(options: dict[str, Any]) -> dict[str, Any]:
    """The options by torch's names."""
    return {{"class_weights": "weight"}.get(name, name): value for name, value in options.items()}


@settings
def test_values_and_gradients_are_torchs(options: dict[str, Any]) -> None:
    student, target = draw(7)
    expected = F.cross_entropy(student, target, reduction="none", **named(options))
    value = cross_entropy(student, target, **options)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), student), torch.autograd.grad(expected.sum(), student))


@settings
def test_rows_may_have_any_axes(options: dict[str, Any]) -> None:
    student, target = draw(2, 3, 4)
    value = cross_entropy(student, target, **options)
    assert value.shape == (2, 3, 4)
    flat = cross_entropy(student.flatten(0, 2), target.flatten(), **options)
    torch.testing.assert_close(value.flatten(), flat)
    torch.testing.assert_close(cross_entropy(student[1, 2, 3], target[1, 2, 3], **options), flat[-1])
    torch.testing.assert_close(
        value, F.cross_entropy(student.movedim(-1, 1), target, reduction="none", **named(options))
    )


def test_mean_is_the_log_loss_of_scikit_learn() -> None:
    student, target = draw(50)
    expected = log_loss(target.numpy(), F.softmax(student, dim=1).detach().numpy(), labels=list(range(5)))
    assert cross_entropy(student, target).mean().item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_equal_logits_cost_the_logarithm_of_the_number_of_classes(classes: int) -> None:
    for smoothing in (0.0, 0.3):
        value = cross_entropy(torch.zeros(3, classes), torch.zeros(3, dtype=torch.int64), label_smoothing=smoothing)
        torch.testing.assert_close(value, torch.full((3,), math.log(classes)))


def test_weights_multiply_and_do_not_normalise() -> None:
    student, target = draw(7)
    value = cross_entropy(student, target, class_weights=torch.full((5,), 3.0))
    torch.testing.assert_close(value, 3 * cross_entropy(student, target))
    weighted = cross_entropy(student, target, class_weights=WEIGHTS)
    torch.testing.assert_close(weighted, WEIGHTS[target] * cross_entropy(student, target))


def test_smoothed_labels_are_a_soft_target() -> None:
    student, target = draw(7)
    probabilities = 0.8 * F.one_hot(target, 5) + 0.2 / 5
    torch.testing.assert_close(
        cross_entropy(student, target, label_smoothing=0.2), soft_cross_entropy(student, probabilities.double().log())
    )


def test_weights_of_another_precision_are_cast() -> None:
    student, target = draw(7)
    value = cross_entropy(student.bfloat16(), target, class_weights=WEIGHTS)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("target", [-100, -1, 5])
def test_a_row_without_a_class_is_no_silent_0(target: int) -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        cross_entropy(torch.zeros(1, 5), torch.tensor([target]))


def test_no_rows_give_no_values() -> None:
    assert cross_entropy(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)).shape == (0,)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.inf, math.nan])
def test_impossible_smoothing_is_rejected(smoothing: float) -> None:
    with refused(ArgumentError, "out_of_range", "label_smoothing"):
        cross_entropy(*draw(7), label_smoothing=smoothing)


@pytest.mark.parametrize(("student", "target"), [((4, 10), (5,)), ((4, 10), (4, 10)), ((4, 10), (4, 1)), ((), ())])
def test_shapes_that_do_not_fit_are_rejected(student: tuple[int, ...], target: tuple[int, ...]) -> None:
    with refused(ArgumentError, "wrong_shape", "target") as raised:
        cross_entropy(torch.zeros(student), torch.zeros(target, dtype=torch.int64))
    assert f"{list(student)} and target {list(target)}" in str(raised.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.bool])
def test_targets_that_are_no_class_numbers_are_rejected(dtype: torch.dtype) -> None:
    with refused(ArgumentError, "wrong_type", "target"):
        cross_entropy(torch.zeros(4, 10), torch.zeros(4, dtype=dtype))


@pytest.mark.parametrize("shape", [(9,), (1,), (), (10, 1)])
def test_another_number_of_weights_is_rejected(shape: tuple[int, ...]) -> None:
    with refused(
        ArgumentError, "wrong_shape", "class_weights", match=r"expected \[10\]; give one weight for each class"
    ):
        cross_entropy(torch.zeros(4, 10), torch.zeros(4, dtype=torch.int64), class_weights=torch.ones(shape))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_impossible_smoothing_is_rejected_at_construction(smoothing: float) -> None:
    with refused(ArgumentError, "out_of_range", "label_smoothing"):
        CrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize("weights", [[1.0, -0.5], [1.0, math.nan], [math.inf, 1.0], [0.0, 0.0], []])
def test_impossible_class_weights_are_rejected_at_construction(weights: list[float]) -> None:
    with refused(ArgumentError, "out_of_range", "class_weights"):
        CrossEntropy(class_weights=weights)


def test_another_number_of_class_weights_is_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "class_weights"):
        CrossEntropy(class_weights=[1.0, 2.0])(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))


def test_class_weights_follow_the_module_and_are_in_its_state() -> None:
    loss = CrossEntropy(class_weights=[1, 2.0])
    assert loss.to("meta").class_weights.is_meta
    assert list(loss.state_dict()) == ["class_weights"]
    assert not CrossEntropy().state_dict()
