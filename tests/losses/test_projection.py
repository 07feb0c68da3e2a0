import math
import pickle

import pytest
import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.losses._projection import ChannelProjection
from losses.inputs import draw_float32
from refusals import refused


def test_it_is_a_linear_layer_and_a_1x1_convolution() -> None:
    projection = ChannelProjection(3, 5)
    linear, convolution = nn.Linear(3, 5), nn.Conv2d(3, 5, 1)
    linear.load_state_dict(projection.state_dict())
    convolution.weight = nn.Parameter(linear.weight[:, :, None, None])
    convolution.bias = linear.bias
    for features in (draw_float32(2, 3), draw_float32(2, 7, 3)):
        torch.testing.assert_close(projection(features), linear(features))
    torch.testing.assert_close(projection(draw_float32(2, 3, 4, 6)), convolution(draw_float32(2, 3, 4, 6)))


def test_values_are_drawn_as_those_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    projection, linear = ChannelProjection(64, 512), nn.Linear(64, 512)
    for ours, theirs in zip(projection.parameters(), linear.parameters(), strict=True):
        assert ours.abs().max() <= 1 / math.sqrt(64)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)


def test_sizing_late_draws_what_sizing_early_does() -> None:
    torch.manual_seed(3)
    early = ChannelProjection(3, 5)
    torch.manual_seed(3)
    late = ChannelProjection()
    late.size(draw_float32(2, 3, 4, 4), draw_float32(2, 5, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(early.parameters(), late.parameters(), strict=True))


def test_an_optimizer_built_before_sizing_trains_it() -> None:
    projection = ChannelProjection()
    optimizer = torch.optim.SGD(projection.parameters(), lr=0.1)
    projection.size(draw_float32(2, 3), draw_float32(2, 5))
    before = projection.weight.detach().clone()
    projection(draw_float32(2, 3)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(projection.weight, before)


def test_sizing_again_keeps_the_values() -> None:
    projection = ChannelProjection(None, 5)
    projection.size(draw_float32(2, 3), draw_float32(2, 5))
    before = projection.weight.detach().clone()
    projection.size(draw_float32(4, 3, 2, 2), draw_float32(4, 5, 2, 2))
    assert torch.equal(projection.weight, before)


def test_precision_given_before_sizing_is_kept() -> None:
    projection = ChannelProjection().double()
    projection.size(draw_float32(2, 3), draw_float32(2, 5))
    assert projection.weight.dtype == torch.float64


@pytest.mark.parametrize("features", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("parameters", [torch.bfloat16, torch.float32, torch.float64])
def test_precisions_may_differ(features: torch.dtype, parameters: torch.dtype) -> None:
    projection = ChannelProjection(3, 5).to(parameters)
    expected = torch.float64 if torch.float64 in (features, parameters) else torch.float32
    for shape in ((2, 3), (2, 3, 4, 4)):
        assert projection(draw_float32(*shape).to(features)).dtype == expected


def test_state_of_an_unsized_one_is_empty_and_loads_into_another() -> None:
    unsized = ChannelProjection()
    assert not unsized.state_dict()
    other = ChannelProjection()
    other.load_state_dict(unsized.state_dict())
    assert not other.is_sized


def test_loading_sizes_it_inside_a_larger_module() -> None:
    sized, unsized = nn.Sequential(ChannelProjection(3, 5)), nn.Sequential(ChannelProjection())
    unsized.load_state_dict(sized.state_dict())
    assert torch.equal(unsized(draw_float32(2, 3)), sized(draw_float32(2, 3)))
    assert repr(unsized) == repr(sized)


@pytest.mark.parametrize("known", [(4, None), (None, 4), (4, 4)])
def test_a_state_of_other_channels_is_rejected(known: tuple[int | None, int | None]) -> None:
    projection = ChannelProjection(*known)
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        projection.load_state_dict(ChannelProjection(3, 5).state_dict())
    assert (projection.in_features, projection.out_features) == known


def test_a_sized_one_misses_an_empty_state() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        ChannelProjection(3, 5).load_state_dict({})


def test_half_a_state_sizes_nothing() -> None:
    state = ChannelProjection(3, 5).state_dict()
    del state["bias"]
    projection = ChannelProjection()
    projection.load_state_dict(state, strict=False)
    assert not projection.is_sized


def test_it_can_be_sent_to_another_process() -> None:
    received = pickle.loads(pickle.dumps(ChannelProjection(3, None)))
    received.size(draw_float32(2, 3), draw_float32(2, 5))
    assert received(draw_float32(2, 3)).shape == (2, 5)


def test_a_missing_size_is_an_error() -> None:
    with refused(ArgumentError, "not_ready"):
        ChannelProjection(3, None)(draw_float32(2, 3))
    with refused(ArgumentError, "mismatch", "student_features"):
        ChannelProjection(4, None).size(draw_float32(2, 3), draw_float32(2, 5))
    with refused(
        ArgumentError, "wrong_shape", "features", match=r"shape \[2, 4\], so 4 channels, but it is sized for 3"
    ):
        ChannelProjection(3, 5)(draw_float32(2, 4))
    with refused(ArgumentError, "wrong_shape", "features", match=r"shape \[2\], expected \[B, D\]"):
        ChannelProjection(3, 5)(draw_float32(2))


@pytest.mark.parametrize("channels", [(0, 5), (3, -1), (0, None)])
def test_no_channels_are_rejected(channels: tuple[int, int | None]) -> None:
    with pytest.raises(ArgumentError, match="expected at least 1, or None"):
        ChannelProjection(*channels)
