import math

import pytest
import torch
from torch import nn

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.losses import (
    DIST,
    BinaryKD,
    DecoupledKD,
    GeneralizedJSD,
    KLDivergence,
    MSERegression,
    MultiLevelLogits,
    ReverseKL,
    TotalVariation,
    WeightedSoftLabel,
)
from refusals import refused

RELATIONAL = [DIST(temperature=2.0), MultiLevelLogits()]
relational = pytest.mark.parametrize("loss", RELATIONAL, ids=lambda loss: type(loss).__name__)


def board(*shape: int, **batch: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    student, teacher = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    return {
        "batch": {"inputs": student, **batch},
        "student": {"logits": student.requires_grad_()},
        "teacher": {"logits": teacher},
    }


@pytest.mark.parametrize(
    "loss", [BinaryKD, DecoupledKD, DIST, GeneralizedJSD, KLDivergence, ReverseKL, TotalVariation, WeightedSoftLabel]
)
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_impossible_temperatures_are_rejected_at_construction(loss: type[nn.Module], temperature: float) -> None:
    with refused(ArgumentError, "out_of_range", "temperature"):
        loss(temperature=temperature)


@pytest.mark.parametrize(
    ("loss", "option", "value"),
    [
        (DecoupledKD, "alpha", -1.0),
        (DecoupledKD, "beta", math.nan),
        (DIST, "beta", math.inf),
        (DIST, "gamma", -1.0),
        (GeneralizedJSD, "beta", 1.5),
        (MSERegression, "margin", -1.0),
        (MultiLevelLogits, "temperatures", []),
        (MultiLevelLogits, "temperatures", [0.0]),
    ],
)
def test_impossible_settings_are_rejected_at_construction(loss: type[nn.Module], option: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=option.removesuffix("s")):
        loss(**{option: value})


@relational
@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_count_nothing(loss: nn.Module, rows: int) -> None:
    values = board(6, 5, labelled=torch.arange(6) < rows)
    mean = Term(loss, where="batch.labelled")(values)
    assert (mean.sum.item(), mean.count.item()) == (0.0, 0.0)
    (gradient,) = torch.autograd.grad(mean.sum, values["student"]["logits"])
    assert not gradient.any()


@relational
def test_positions_of_sequences_are_rows(loss: nn.Module) -> None:
    real = torch.tensor([[True, True, False], [True, True, True]])
    values = board(2, 3, 5, real=real)
    mean = Term(loss, where="batch.real")(values)
    expected = loss(values["student"]["logits"][real], values["teacher"]["logits"][real])
    torch.testing.assert_close(mean.sum, expected)
    assert mean.count == 1


@relational
def test_rows_cannot_be_scaled(loss: nn.Module) -> None:
    with refused(ArgumentError, "conflict", "scale"):
        Term(loss, scale="batch.class_weight")


@pytest.mark.parametrize("loss", [DecoupledKD(), WeightedSoftLabel()], ids=lambda loss: type(loss).__name__)
def test_rows_without_a_label_are_left_out(loss: nn.Module) -> None:
    target = torch.tensor([0, -100, 4, 2, -100, 1])
    values = board(6, 5, target=target)
    mean = Term(loss)(values)
    is_labelled = target >= 0
    assert mean.count == 4
    torch.testing.assert_close(
        mean.sum, loss(*(values[s]["logits"][is_labelled] for s in ("student", "teacher")), target[is_labelled]).sum()
    )


def test_a_scheduled_temperature_is_read_at_every_step() -> None:
    loss, values = ReverseKL(), board(6, 5)
    term = Term(loss)
    before = term(values).sum.item()
    loss.temperature = 3.0
    torch.testing.assert_close(term(values).sum, Term(ReverseKL(temperature=3.0))(values).sum)
    assert term(values).sum.item() != before
