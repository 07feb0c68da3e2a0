import numpy as np
import pytest
import torch
from torch import Tensor

from cache.codecs.passing import passed
from limbeck.cache import Float16, Float32
from limbeck.errors import CacheError
from refusals import refused


def values(scale: float) -> Tensor:
    return scale * torch.randn(50, 3, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_float32_is_exact(scale: float) -> None:
    found, encoded = passed(Float32(), values(scale))
    assert torch.equal(found, values(scale))
    assert encoded.error == 0


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e4])
def test_float16_is_within_its_promise(scale: float) -> None:
    exact = values(scale)
    found, encoded = passed(Float16(), exact)
    error = (found - exact).abs()
    assert (error <= (exact.abs() * 2.0**-11).clamp(min=2.0**-25)).all()
    assert encoded.error == error.max() > 0
    assert torch.equal(found, torch.from_numpy(exact.numpy().astype(np.float16)).float())


@pytest.mark.parametrize("codec", [Float32(), Float16()], ids=repr)
def test_one_number_for_each_row(codec: Float32 | Float16) -> None:
    exact = values(1.0)[:, 0, 0].contiguous()
    found, _ = passed(codec, exact)
    assert found.shape == exact.shape
    assert codec.errors(found, exact).tolist() == (found - exact).abs().tolist()


def test_lower_precision_of_the_teacher_is_kept() -> None:
    exact = values(1.0).bfloat16()
    assert torch.equal(passed(Float32(), exact)[0], exact.float())


def test_what_float16_cannot_hold_is_refused() -> None:
    with refused(CacheError, "out_of_range"):
        Float16().encode(torch.tensor([[70_000.0]]), 0)


@pytest.mark.parametrize("codec", [Float32(), Float16()], ids=repr)
def test_errors_are_those_of_each_entry(codec: Float32 | Float16) -> None:
    exact = values(1.0)
    found, _ = passed(codec, exact)
    assert codec.errors(found, exact).tolist() == (found - exact).abs().flatten(1).amax(1).tolist()
