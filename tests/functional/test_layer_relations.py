from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import _pairs, flow_of_solution, inter_channel_correlation


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_flow_is_the_mean_outer_product_of_positions() -> None:
    first, second, third, fourth = (draw(6, channels, 3, 4, seed=channels) for channels in (2, 5, 2, 5))
    ours = torch.einsum("bmhw,bnhw->bmn", first, second) / 12
    theirs = torch.einsum("bmhw,bnhw->bmn", third + 1, fourth) / 12
    expected = (ours - theirs).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(flow_of_solution(first, second, third + 1, fourth), expected)


def test_repeating_or_reordering_positions_changes_nothing() -> None:
    first, second, third, fourth = (draw(6, 3, 4, 4, seed=seed) for seed in range(4))
    value, correlation = flow_of_solution(first, second, third, fourth), inter_channel_correlation(first, third)
    torch.testing.assert_close(flow_of_solution(first.tile(1, 1, 2, 3), second.tile(1, 1, 2, 3), third, fourth), value)
    torch.testing.assert_close(inter_channel_correlation(first.tile(1, 1, 2, 3), third), correlation)
    torch.testing.assert_close(flow_of_solution(first.mT, second.mT, third, fourth), value)
    torch.testing.assert_close(inter_channel_correlation(first.mT, third), correlation)


def test_scales_that_cancel() -> None:
    first, second, third, fourth = (draw(6, 3, 4, 4, seed=seed) for seed in range(4))
    value = flow_of_solution(first, second, third, fourth)
    torch.testing.assert_close(flow_of_solution(first * 4, second / 4, third, fourth), value)
    correlation = inter_channel_correlation(first, third)
    torch.testing.assert_close(inter_channel_correlation(first * 4, third / 3), correlation)
    assert (correlation <= 4).all()


def test_a_larger_first_map_is_pooled_by_its_maximum() -> None:
    first, second, third, fourth = draw(6, 3, 8, 8), draw(6, 2, 4, 4), draw(6, 3, 5, 5), draw(6, 2, 5, 5)
    pooled = F.max_pool2d(first, 2)
    torch.testing.assert_close(
        flow_of_solution(first, second, third, fourth), flow_of_solution(pooled, second, third, fourth)
    )


def test_values_do_not_depend_on_the_other_rows() -> None:
    maps = [draw(6, 3, 4, 4, seed=seed) for seed in range(4)]
    torch.testing.assert_close(flow_of_solution(*maps)[2:4], flow_of_solution(*(m[2:4] for m in maps)))
    torch.testing.assert_close(
        inter_channel_correlation(*maps[:2])[2:4], inter_channel_correlation(*(m[2:4] for m in maps[:2]))
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


def test_shapes_that_do_not_fit_are_refused() -> None:
    maps, narrow = draw(4, 3, 5, 5), draw(4, 2, 5, 5)
    with pytest.raises(ArgumentError, match=r"flow_of_solution: student has shape \[4, 3, 5, 5\] and teacher \[4, 2"):
        flow_of_solution(maps, maps, narrow, maps)
    with pytest.raises(ArgumentError, match=r"flow_of_solution: student has shape \[4, 3, 5, 5\] and teacher \[4, 2"):
        flow_of_solution(maps, maps, maps, narrow)
    with pytest.raises(ArgumentError, match="expected the same rows"):
        flow_of_solution(maps, maps[:2], maps, maps[:2])
    with pytest.raises(ArgumentError, match="inter_channel_correlation: student has shape"):
        inter_channel_correlation(maps, narrow)
    with pytest.raises(ArgumentError, match=r"inter_channel_correlation: student is torch\.int64"):
        inter_channel_correlation(maps.long(), maps)


@pytest.mark.parametrize("loss", [flow_of_solution, inter_channel_correlation], ids=lambda loss: loss.__name__)
def test_blocks_of_samples_are_the_whole(loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    maps = [draw(6, 3, 4, 4, seed=seed).requires_grad_() for seed in range(4 if loss is flow_of_solution else 2)]
    whole = loss(*maps)
    monkeypatch.setattr(_pairs, "_block_elements", 20)
    value = loss(*maps)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), maps), torch.autograd.grad(whole.sum(), maps))
