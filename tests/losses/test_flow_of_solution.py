import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import flow_of_solution
from limbeck.losses import FlowOfSolution
from limbeck.losses._blocks import block_limit
from losses.inputs import draw, draw_float32
from refusals import refused

NAMES = ("student_first", "student_second", "teacher_first", "teacher_second")


def test_flow_is_the_mean_outer_product_of_positions() -> None:
    first, second, third, fourth = (draw(6, channels, 3, 4, seed=channels) for channels in (2, 5, 2, 5))
    student = torch.einsum("bmhw,bnhw->bmn", first, second) / 12
    teacher = torch.einsum("bmhw,bnhw->bmn", third + 1, fourth) / 12
    expected = (student - teacher).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(flow_of_solution(first, second, third + 1, fourth), expected)


def test_repeating_or_reordering_positions_changes_nothing() -> None:
    first, second, third, fourth = (draw(6, 3, 4, 4, seed=seed) for seed in range(4))
    value = flow_of_solution(first, second, third, fourth)
    torch.testing.assert_close(flow_of_solution(first.tile(1, 1, 2, 3), second.tile(1, 1, 2, 3), third, fourth), value)
    torch.testing.assert_close(flow_of_solution(first.mT, second.mT, third, fourth), value)


def test_scales_of_the_two_layers_cancel() -> None:
    first, second, third, fourth = (draw(6, 3, 4, 4, seed=seed) for seed in range(4))
    value = flow_of_solution(first, second, third, fourth)
    torch.testing.assert_close(flow_of_solution(first * 4, second / 4, third, fourth), value)


def test_a_larger_first_map_is_pooled_by_its_maximum() -> None:
    first, second, third, fourth = draw(6, 3, 8, 8), draw(6, 2, 4, 4), draw(6, 3, 5, 5), draw(6, 2, 5, 5)
    pooled = F.max_pool2d(first, 2)
    torch.testing.assert_close(
        flow_of_solution(first, second, third, fourth), flow_of_solution(pooled, second, third, fourth)
    )


def test_values_do_not_depend_on_the_other_rows() -> None:
    maps = [draw(6, 3, 4, 4, seed=seed) for seed in range(4)]
    torch.testing.assert_close(flow_of_solution(*maps)[2:4], flow_of_solution(*(m[2:4] for m in maps)))


def test_shapes_that_do_not_fit_are_rejected() -> None:
    maps, narrow = draw(4, 3, 5, 5), draw(4, 2, 5, 5)
    with refused(ArgumentError, "wrong_shape", "student"):
        flow_of_solution(maps, maps, narrow, maps)
    with refused(ArgumentError, "wrong_shape", "student"):
        flow_of_solution(maps, maps, maps, narrow)
    with refused(ArgumentError, "wrong_shape", "student_second"):
        flow_of_solution(maps, maps[:2], maps, maps[:2])


def test_blocks_give_the_same_values() -> None:
    maps = [draw(6, 3, 4, 4, seed=seed).requires_grad_() for seed in range(4)]
    expected = flow_of_solution(*maps)
    with block_limit(20):
        value = flow_of_solution(*maps)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), maps), torch.autograd.grad(expected.sum(), maps))


# The module.


def inputs(*channels: int) -> dict[str, Tensor]:
    return {name: draw_float32(2, width, 4, 4, seed=width) for name, width in zip(NAMES, channels, strict=True)}


def test_equal_channels_need_no_projection() -> None:
    equal, loss = inputs(3, 2, 3, 2), FlowOfSolution()
    loss.prepare([equal])
    assert not list(loss.parameters())
    assert not loss.state_dict()
    torch.testing.assert_close(loss(**equal), flow_of_solution(**equal))


def test_each_layer_is_projected_where_its_channels_differ() -> None:
    unequal, loss = inputs(3, 2, 3, 5), FlowOfSolution()
    loss.prepare([unequal])
    assert loss.first is None
    assert sorted(loss.state_dict()) == ["second.bias", "second.weight"]
    expected = flow_of_solution(**{**unequal, "student_second": loss.second(unequal["student_second"])})
    torch.testing.assert_close(loss(**unequal), expected)
    unprepared = FlowOfSolution()
    unprepared.load_state_dict(loss.state_dict())
    torch.testing.assert_close(unprepared(**unequal), expected)


def test_term_prepares_it_from_the_board() -> None:
    unequal, loss = inputs(3, 2, 4, 5), FlowOfSolution()
    board = {"batch": {"row": torch.arange(2)}, "student": {}, "teacher": {}}
    for name, value in unequal.items():
        source, _, layer = name.partition("_")
        board[source][layer] = value
    term = Term(loss, {name: name.replace("_", ".") for name in NAMES})
    with pytest.raises(ArgumentError, match=r"call Distiller\.prepare"):
        term(board)
    term.prepare([board])
    assert term(board).count == 2
    assert isinstance(loss.first, nn.Module)
