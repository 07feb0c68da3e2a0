import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import attention_scores
from limbeck.losses._blocks import block_limit
from losses.inputs import draw

LENGTHS = torch.tensor([5, 1, 3, 0])
MASK = torch.arange(5) < LENGTHS[:, None]


def projections(width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return draw(4, 5, width, seed=seed), draw(4, 5, width, seed=seed + 1)


def split(features: torch.Tensor, heads: int) -> torch.Tensor:
    return features.unflatten(-1, (heads, -1)).movedim(-2, 1)


def maps(query: torch.Tensor, key: torch.Tensor, heads: int) -> torch.Tensor:
    """What torch's own attention makes of values that are one token each."""
    tokens = torch.eye(query.shape[1], dtype=query.dtype).expand(len(query), heads, -1, -1)
    return F.scaled_dot_product_attention(split(query, heads), split(key, heads), tokens)


def both(**options):
    return lambda *given, **more: attention_scores(*given, student_heads=2, teacher_heads=2, **options, **more)


every_stage = pytest.mark.parametrize("on", ["scores", "maps"])


def test_maps_are_those_of_torch() -> None:
    student, teacher = projections(), projections(seed=2)
    student_maps, teacher_maps = maps(*student, 2), maps(*teacher, 2)
    expected = F.kl_div(student_maps.log(), teacher_maps, reduction="none").sum(-1).mean((1, 2))
    torch.testing.assert_close(both(on="maps")(*student, *teacher), expected)


def test_scores_of_a_head_are_products_over_the_root_of_its_size() -> None:
    student, teacher = projections(), projections(width=8, seed=2)
    student_maps, teacher_maps = (
        torch.einsum("bhid,bhjd->bhij", split(query, 2), split(key, 2)) / size**0.5
        for (query, key), size in ((student, 3), (teacher, 4))
    )
    torch.testing.assert_close(both()(*student, *teacher), (student_maps - teacher_maps).square().mean((1, 2, 3)))


@every_stage
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
@pytest.mark.parametrize("teacher_heads", [2, 3])
def test_padding_has_no_influence_on_values(on: str, dtype: torch.dtype, teacher_heads: int) -> None:
    given = [side.clone() for side in (*projections(), *projections(seed=2))]
    options = {"student_heads": 2, "teacher_heads": teacher_heads, "on": on}
    alone = [
        attention_scores(*(side[[row], :length] for side in given), **options) for row, length in enumerate(LENGTHS[:3])
    ]
    for side in given:
        side[~MASK] = torch.nan
        side.requires_grad_()
    value = attention_scores(*given, MASK.to(dtype), **options)
    torch.testing.assert_close(value[:3], torch.cat(alone))
    assert value[3].abs() < 1e-15
    value.sum().backward()
    assert all(side.grad.isfinite().all() and not side.grad[~MASK].any() for side in given)


@every_stage
def test_unequal_heads_are_compared_by_their_means(on: str) -> None:
    student, teacher = projections(), projections(seed=2)
    doubled = [torch.cat([side, side], dim=-1) for side in teacher]
    two = attention_scores(*student, *doubled, student_heads=1, teacher_heads=2, on=on)
    one = attention_scores(*student, *teacher, student_heads=1, teacher_heads=1, on=on)
    torch.testing.assert_close(two, one)


def test_the_order_of_equal_heads_matters_and_that_of_unequal_ones_does_not() -> None:
    student, teacher = projections(), projections(seed=2)
    turned = [side.unflatten(-1, (3, 2)).flip(-2).flatten(-2) for side in teacher]
    equal = [attention_scores(*student, *side, student_heads=3, teacher_heads=3) for side in (teacher, turned)]
    unequal = [attention_scores(*student, *side, student_heads=2, teacher_heads=3) for side in (teacher, turned)]
    assert not torch.allclose(*equal)
    torch.testing.assert_close(*unequal)


@every_stage
def test_a_rotation_of_each_head_does_not_matter(on: str) -> None:
    student, teacher = projections(), projections(seed=2)
    rotation, _ = torch.linalg.qr(draw(3, 3, seed=9))
    turned = [(side.unflatten(-1, (2, 3)) @ rotation).flatten(-2) for side in student]
    torch.testing.assert_close(both(on=on)(*turned, *teacher), both(on=on)(*student, *teacher))


def test_maps_do_not_change_when_a_vector_is_added_to_all_keys() -> None:
    student, teacher = projections(), projections(seed=2)
    moved = student[1] + draw(6, seed=9)
    torch.testing.assert_close(both(on="maps")(student[0], moved, *teacher), both(on="maps")(*student, *teacher))
    assert not torch.allclose(both()(student[0], moved, *teacher), both()(*student, *teacher))


@every_stage
def test_layers_are_averaged(on: str) -> None:
    student, teacher, deeper = projections(), projections(seed=2), projections(seed=4)
    several = [[side, other] for side, other in zip((*student, *teacher), (*deeper, *student), strict=True)]
    expected = (both(on=on)(*student, *teacher) + both(on=on)(*deeper, *student)) / 2
    torch.testing.assert_close(both(on=on)(*several), expected)


@pytest.mark.parametrize("on", ["scores", "maps"])
def test_blocks_of_samples_give_the_same(on: str) -> None:
    def evaluate() -> list[torch.Tensor]:
        given = [side.requires_grad_() for side in (*projections(), *projections(seed=2))]
        value = both(on=on)(*given, MASK)
        return [value.detach(), *torch.autograd.grad(value.square().sum(), given)]

    whole = evaluate()
    # Three samples of 2 × 5 × 5 elements: blocks of three and one.
    with block_limit(150):
        in_blocks = evaluate()
    for blocked, expected in zip(in_blocks, whole, strict=True):
        torch.testing.assert_close(blocked, expected)


@every_stage
def test_memory_that_is_kept_for_the_gradient(on: str) -> None:
    student, teacher = [side.requires_grad_() for side in projections()], projections(seed=2)
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        both(on=on)(*student, *teacher, MASK).sum()
    of_maps = sum(nbytes == 4 * 2 * 5 * 5 * 8 for nbytes in kept.values())
    assert of_maps == (1 if on == "scores" else 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on": "map"}, "on is 'map', expected 'scores'"),
        ({"student_heads": 0}, "the number of the student's heads is 0"),
        ({"teacher_heads": 4}, "the teacher's 6 features do not divide by 4 heads"),
        ({"teacher_key": draw(4, 5, 2)}, r"the teacher has torch\.float64 of shape \[4, 5, 2\].* without grouped"),
        ({"teacher_query": draw(4, 3, 6)}, r"the teacher has torch\.float64 of shape \[4, 3, 6\]"),
        ({"student_query": draw(4, 5)}, r"the student has torch\.float64 of shape \[4, 5\]"),
        ({"student_key": [draw(4, 5, 6)] * 2}, "1, 2, 1, 1 layers are given"),
        ({"attention_mask": MASK[:, :3]}, r"attention_mask is torch\.bool of shape \[4, 3\].* of shape \[4, 5\]"),
        ({"attention_mask": MASK.float()}, r"attention_mask is torch\.float32"),
    ],
)
def test_attention_that_does_not_fit_is_rejected(change, message: str) -> None:
    given = dict(zip(("student_query", "student_key"), projections(), strict=True))
    given |= dict(zip(("teacher_query", "teacher_key"), projections(seed=2), strict=True))
    with pytest.raises(ArgumentError, match=f"attention_scores: .*{message}"):
        attention_scores(**{**given, "student_heads": 2, "teacher_heads": 2, **change})
