import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.functional import inter_channel_correlation
from limbeck.losses import InterChannelCorrelation
from limbeck.losses._blocks import block_limit
from losses.inputs import draw, draw_float32
from refusals import refused


def test_repeating_or_reordering_positions_changes_nothing() -> None:
    student, teacher = draw(6, 3, 4, 4), draw(6, 3, 4, 4, seed=2)
    value = inter_channel_correlation(student, teacher)
    torch.testing.assert_close(inter_channel_correlation(student.tile(1, 1, 2, 3), teacher), value)
    torch.testing.assert_close(inter_channel_correlation(student.mT, teacher), value)


def test_scale_does_not_matter_and_values_are_at_most_4() -> None:
    student, teacher = draw(6, 3, 4, 4), draw(6, 3, 4, 4, seed=2)
    value = inter_channel_correlation(student, teacher)
    torch.testing.assert_close(inter_channel_correlation(student * 4, teacher / 3), value)
    assert (value <= 4).all()


def test_values_do_not_depend_on_the_other_rows() -> None:
    maps = [draw(6, 3, 4, 4, seed=seed) for seed in range(2)]
    torch.testing.assert_close(
        inter_channel_correlation(*maps)[2:4], inter_channel_correlation(*(m[2:4] for m in maps))
    )


def test_channels_of_zeros_are_finite() -> None:
    teacher = draw(2, 3, 4, 4)
    for zeros in (slice(0, 1), slice(None)):
        student = draw(2, 3, 4, 4, seed=1)
        student[:, zeros] = 0
        value = inter_channel_correlation(student.requires_grad_(), teacher)
        (gradient,) = torch.autograd.grad(value.sum(), student)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def test_inputs_that_do_not_fit_are_rejected() -> None:
    maps = draw(4, 3, 5, 5)
    with refused(ArgumentError, "wrong_shape", "student"):
        inter_channel_correlation(maps, draw(4, 2, 5, 5))
    with refused(ArgumentError, "wrong_type", "student"):
        inter_channel_correlation(maps.long(), maps)


def test_blocks_give_the_same_values() -> None:
    maps = [draw(6, 3, 4, 4, seed=seed).requires_grad_() for seed in range(2)]
    expected = inter_channel_correlation(*maps)
    with block_limit(20):
        value = inter_channel_correlation(*maps)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), maps), torch.autograd.grad(expected.sum(), maps))


# The module.


def test_equal_channels_need_no_projection() -> None:
    loss = InterChannelCorrelation()
    loss.prepare([{"student": draw_float32(2, 3, 4, 4), "teacher": draw_float32(2, 3, 4, 4, seed=1)}])
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_a_projection_in_proportion_to_the_teacher_costs_nothing() -> None:
    mix, student = draw_float32(4, 3, seed=1), draw_float32(8, 3, 4, 4)
    teacher = torch.einsum("cd,bdhw->bchw", mix, student)
    loss = InterChannelCorrelation()
    loss.prepare([{"student": student, "teacher": teacher}])
    assert loss(student, teacher).mean() > 0.1
    with torch.no_grad():
        loss.projection.weight.copy_(3 * mix)
        nn.init.zeros_(loss.projection.bias)
    assert loss(student, teacher).max() < 1e-10


def test_other_channels_later_are_rejected() -> None:
    loss = InterChannelCorrelation()
    loss.prepare([{"student": draw_float32(2, 3, 4, 4), "teacher": draw_float32(2, 4, 4, 4)}])
    with refused(ArgumentError, "mismatch", "student_features"):
        loss.prepare([{"student": draw_float32(2, 5, 4, 4), "teacher": draw_float32(2, 4, 4, 4)}])
    equal = InterChannelCorrelation()
    equal.prepare([{"student": draw_float32(2, 3, 4, 4), "teacher": draw_float32(2, 3, 4, 4)}])
    with refused(ArgumentError, "wrong_shape", "student"):
        equal(draw_float32(2, 3, 4, 4), draw_float32(2, 4, 4, 4))


def test_heights_and_widths_may_differ() -> None:
    assert inter_channel_correlation(draw(2, 3, 4, 4), draw(2, 3, 2, 2)).shape == (2,)
