import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import cross_entropy, inverse_frequency, kl_divergence
from limbeck.losses import CrossEntropy, KLDivergence


def draw(rows: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), rows, replacement=True, generator=generator)


def test_weights_are_the_balanced_ones_of_scikit_learn() -> None:
    target = draw()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=target.numpy())
    np.testing.assert_allclose(inverse_frequency(target, classes=3).numpy(), expected, rtol=1e-6)


def test_every_class_has_the_same_total_and_the_mean_is_1() -> None:
    target = draw()
    weights = inverse_frequency(target, classes=3)[target]
    totals = torch.stack([weights[target == number].sum() for number in range(3)])
    torch.testing.assert_close(totals, torch.full((3,), len(target) / 3))
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))


def test_rows_without_a_label_count_nothing_and_a_class_never_seen_gets_0() -> None:
    target = draw()
    weights = inverse_frequency(torch.cat([target, torch.full((50,), -100)]), classes=5)
    torch.testing.assert_close(weights[:3], inverse_frequency(target, classes=3))
    assert weights[3:].tolist() == [0.0, 0.0]


def test_scale_weighs_the_rows_of_any_term() -> None:
    target = draw(12)
    target[:2] = -100
    is_labelled = target >= 0
    weights = inverse_frequency(target, classes=3)
    student, teacher = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(1))
    board = {
        "batch": {"target": target, "labelled": is_labelled, "class_weight": weights[target.clamp(min=0)]},
        "student": {"logits": student},
        "teacher": {"logits": teacher},
    }
    soft = Term(KLDivergence(), where="batch.labelled", scale="batch.class_weight")(board)
    assert soft.count == is_labelled.sum()
    expected = weights[target[is_labelled]] * kl_divergence(student[is_labelled], teacher[is_labelled])
    torch.testing.assert_close(soft.sum, expected.sum())

    hard = Term(CrossEntropy(), scale="batch.class_weight")(board)
    expected = cross_entropy(student[is_labelled], target[is_labelled], class_weights=weights)
    torch.testing.assert_close(hard.sum, expected.sum())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"target is torch\.float32 of shape \[2\], expected int64"),
        (torch.tensor([-100, -100]), "none of 2 rows has a label"),
        (torch.tensor([0, 3]), r"class numbers go from 0 to 3, expected 0\.\.2"),
        (torch.tensor([0, -1]), r"class numbers go from -1 to 0, expected 0\.\.2"),
    ],
)
def test_impossible_targets_are_rejected(target: torch.Tensor, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"inverse_frequency: {message}"):
        inverse_frequency(target, classes=3)
