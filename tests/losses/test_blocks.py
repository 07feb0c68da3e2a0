import pytest
import torch

from limbeck.losses._blocks import block_limit, sum_over_blocks


@pytest.mark.parametrize("elements", [1, 8, 20, 64, 1000])
def test_blocks_add_up(elements: int) -> None:
    rows = torch.randn(10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    sizes = []

    def of_rows(start: int, stop: int) -> torch.Tensor:
        sizes.append(stop - start)
        return (rows[start:stop] @ rows.T).square().sum()

    with block_limit(64):
        total = sum_over_blocks(of_rows, 10, elements)
    assert sum(sizes) == 10
    assert max(sizes) == min(max(64 // elements, 1), 10)
    expected = (rows @ rows.T).square().sum()
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(torch.autograd.grad(total, rows), torch.autograd.grad(expected, rows))
