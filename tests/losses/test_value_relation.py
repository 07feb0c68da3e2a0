import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import value_relation
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


def test_relations_are_maps_of_values_with_themselves() -> None:
    (student, _), (teacher, _) = projections(), projections(width=8, seed=2)
    student_maps, teacher_maps = maps(student, student, 2), maps(teacher, teacher, 2)
    expected = F.kl_div(student_maps.log(), teacher_maps, reduction="none").sum(-1).mean((1, 2))
    torch.testing.assert_close(value_relation(student, teacher, relation_heads=2), expected)


def test_relations_given_are_averaged() -> None:
    value, query, key = (dict(zip(("student", "teacher"), projections(seed=seed), strict=True)) for seed in (0, 2, 4))
    alone = [value_relation(*pair.values(), attention_mask=MASK, relation_heads=3) for pair in (value, query, key)]
    together = value_relation(*value.values(), *query.values(), *key.values(), attention_mask=MASK, relation_heads=3)
    torch.testing.assert_close(together, sum(alone) / 3)
    two = value_relation(*value.values(), student_key=key["student"], teacher_key=key["teacher"], relation_heads=3)
    expected = [value_relation(*pair.values(), relation_heads=3) for pair in (value, key)]
    torch.testing.assert_close(two, sum(expected) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relation_heads": 4}, "the student's 6 features do not divide by 4 heads"),
        ({"relation_heads": 0}, "heads is 0"),
        ({"student_query": draw(4, 5, 6)}, "student_query or teacher_query is missing"),
        ({"teacher_value": [draw(4, 5, 6)] * 2}, "1, 2 layers are given"),
    ],
)
def test_relations_that_do_not_fit_are_rejected(change, message: str) -> None:
    given = dict(zip(("student_value", "teacher_value"), projections(), strict=True))
    with pytest.raises(ArgumentError, match=f"value_relation: .*{message}"):
        value_relation(**{**given, "relation_heads": 2, **change})
