import pytest
import torch
from torch import Tensor

from cache.codecs.passing import passed
from limbeck.cache import Int8
from limbeck.errors import ArgumentError, CacheError
from refusals import refused


def features(*shape: int) -> Tensor:
    """Channels of very different ranges and places on axis 1."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(40, *shape, generator=generator)
    beside = (1, shape[0], *(1 for _ in shape[1:]))
    return values * torch.logspace(-4, 3, shape[0]).view(beside) + torch.linspace(-50, 50, shape[0]).view(beside)


@pytest.mark.parametrize("shards", [1, 7])
@pytest.mark.parametrize(("shape", "axis"), [((6,), 0), ((6, 4, 5), 0), ((6, 4, 5), -3)])
def test_within_half_a_level_of_its_channel_in_its_shard(shape: tuple[int, ...], axis: int, shards: int) -> None:
    exact = features(*shape)
    found, measured = passed(Int8(axis=axis), exact, shards=shards)
    worst = 0.0
    for part, kept in zip(exact.tensor_split(shards), found.tensor_split(shards), strict=True):
        for channel in range(shape[0]):
            x, y = part[:, channel].double(), kept[:, channel].double()
            error = float((x - y).abs().max())
            rounding = 4 * torch.finfo(torch.float32).eps * float(x.abs().max())
            assert error <= float(x.max() - x.min()) / 510 + rounding
            worst = max(worst, error)
    assert measured.error == pytest.approx(worst, rel=1e-6)
    assert worst > 0


def test_channels_on_the_last_axis() -> None:
    exact = features(6, 5)
    moved, _ = passed(Int8(axis=-1), exact.movedim(1, 2).contiguous())
    first, _ = passed(Int8(), exact)
    assert torch.equal(moved.movedim(2, 1), first)


def test_a_constant_channel_is_exact() -> None:
    exact = torch.cat([torch.full((10, 1), 3.3), torch.zeros(10, 1), torch.rand(10, 1)], 1)
    found, _ = passed(Int8(), exact)
    assert torch.equal(found[:, :2], exact[:, :2])


def test_a_range_beyond_float32_is_refused() -> None:
    with refused(CacheError, "out_of_range"):
        passed(Int8(), torch.tensor([[-3e38], [3e38], [0.0]]))


def test_an_axis_that_is_not_there_is_refused() -> None:
    with refused(ArgumentError, "out_of_range", "axis"):
        Int8(axis=1).check((6,))
