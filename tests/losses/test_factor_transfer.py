"""What the modules of feature losses do beyond calling their functions."""

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import factor_transfer
from limbeck.losses import FactorTransfer
from losses.inputs import draw, draw_float32
from refusals import refused


def test_positive_scale_does_not_matter_and_equal_factors_cost_nothing() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    torch.testing.assert_close(factor_transfer(7 * student, 0.1 * teacher), factor_transfer(student, teacher))
    assert not factor_transfer(student, student).any()


def test_it_lies_between_the_norms() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    units = [maps / maps.square().sum((1, 2, 3), keepdim=True).sqrt() for maps in (student, teacher)]
    distance = (units[0] - units[1]).square().sum((1, 2, 3)).sqrt()
    value = factor_transfer(student, teacher) * 60
    assert (value >= distance).all()
    assert (value <= math.sqrt(60) * distance).all()


def test_other_channels_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        factor_transfer(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))


def test_the_paraphraser_is_trained_frozen_and_the_same_each_time() -> None:
    sample = {"student": draw_float32(4, 3, 5, 5), "teacher": draw_float32(4, 6, 5, 5, seed=1)}
    states = []
    for steps in (0, 20, 20):
        torch.manual_seed(0)
        loss = FactorTransfer(paraphraser_steps=steps)
        loss.prepare([sample])
        states.append([parameter.clone() for parameter in loss.paraphraser.parameters()])
        assert not any(parameter.requires_grad for parameter in loss.paraphraser.parameters())
    untrained, once, again = states
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(untrained, once, strict=True))


def test_training_the_paraphraser_lowers_what_a_decoder_cannot_bring_back() -> None:
    torch.manual_seed(0)
    teacher = F.avg_pool2d(draw_float32(8, 4, 12, 12), 5, stride=1).repeat(1, 2, 1, 1)
    errors = []
    for steps in (0, 300):
        torch.manual_seed(0)
        loss = FactorTransfer(paraphraser_steps=steps)
        loss.prepare([{"student": teacher, "teacher": teacher}])
        factor = teacher
        for layer in loss.paraphraser:
            factor = F.leaky_relu(layer(factor), 0.1)
        codes = torch.cat([factor.movedim(1, -1).flatten(0, 2), torch.ones(factor[:, 0].numel(), 1)], dim=1)
        wanted = teacher.movedim(1, -1).flatten(0, 2)
        solution = torch.linalg.lstsq(codes.detach().double(), wanted.double()).solution
        errors.append((codes.detach().double() @ solution - wanted).square().mean().item())
    assert errors[1] < 0.7 * errors[0]


def test_no_gradient_flows_through_the_paraphraser() -> None:
    student, teacher = draw_float32(4, 3, 5, 5), draw_float32(4, 6, 5, 5, seed=1)
    loss = FactorTransfer(paraphraser_steps=1)
    loss.prepare([{"student": student, "teacher": teacher}])
    teacher.requires_grad_()
    loss(student, teacher).sum().backward()
    assert teacher.grad is None
    assert all(parameter.grad is None for parameter in loss.paraphraser.parameters())
    assert all(parameter.grad is not None for parameter in loss.translator.parameters())


def test_vectors_have_no_factors() -> None:
    with pytest.raises(ArgumentError, match=r"factor_transfer: student has shape \[2, 3\], expected maps"):
        FactorTransfer().prepare([{"student": draw_float32(2, 3), "teacher": draw_float32(2, 6, 4, 4)}])
