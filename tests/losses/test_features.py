"""What the modules of feature losses do beyond calling their functions."""

import copy

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.losses import (
    NSTMMD,
    ActivationBoundary,
    AttentionTransfer,
    ChannelWise,
    FactorTransfer,
    GradientAttention,
    Overhaul,
    ReviewKD,
    VariationalInformation,
)
from losses.inputs import draw_float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActivationBoundary(margin=0.0), "margin is 0"),
        (lambda: AttentionTransfer(power=0.5), "power is 0.5"),
        (lambda: ChannelWise(temperature=-1.0), "temperature is -1"),
        (lambda: FactorTransfer(rate=0.0), "rate is 0"),
        (lambda: FactorTransfer(paraphraser_steps=-1), "paraphraser_steps is -1"),
        (lambda: GradientAttention(channels="none"), "channels is 'none'"),
        (lambda: NSTMMD(kernel="cubic"), "kernel is 'cubic'"),
        (lambda: ReviewKD(width=0), "width is 0"),
        (lambda: VariationalInformation(initial_variance=0.0), "initial_variance is 0"),
    ],
)
def test_impossible_settings_are_rejected_at_construction(make, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_preparing_leaves_the_samples_alone() -> None:
    sample = {"student": draw_float32(2, 3, 4, 4), "teacher": draw_float32(2, 6, 4, 4)}
    kept = copy.deepcopy(sample)
    for loss in (Overhaul(), VariationalInformation(), FactorTransfer(paraphraser_steps=2), ChannelWise()):
        loss.prepare([sample])
    assert all(torch.equal(sample[name], kept[name]) for name in sample)
