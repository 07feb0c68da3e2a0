"""What the losses between several layers keep: maps, choices and projections."""

import copy
import pickle

import numpy as np
import pytest
import torch

from core.ranks import Ranks
from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import hidden_states_mse
from limbeck.losses import AttentionScores, CosineHidden, HiddenStatesMSE, PatientKD, ValueRelation
from losses import layer_ranks
from refusals import refused


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def stack(depth: int, width: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return tuple(draw(6, 3, width, seed=100 * seed + layer) for layer in range(depth))


def like(layers: tuple[torch.Tensor, ...], *origins: int, width: int = 4) -> tuple[torch.Tensor, ...]:
    """A teacher whose layers are rotations of the student's with these numbers, or noise for −1."""
    rotation, _ = torch.linalg.qr(draw(width, width, seed=77))
    noise = stack(len(origins), width, seed=9)
    return tuple(noise[t] if origin < 0 else layers[origin] @ rotation for t, origin in enumerate(origins))


def prepared(loss, student, teacher):
    loss = loss.double()
    loss.prepare([{"student": student, "teacher": teacher}])
    return loss


ORIGINS = [(0, -1, 1, 2), (-1, 0, 1, 2), (0, 1, -1, 2)]


@pytest.mark.parametrize("origins", ORIGINS)
def test_auto_finds_the_layers_that_the_student_is_like(origins: tuple[int, ...]) -> None:
    student = stack(3)
    teacher = like(student, *origins)
    expected = [origins.index(layer) for layer in range(3)]
    hidden = HiddenStatesMSE(layers="auto", embeddings=False)
    hidden.prepare([{"student": student, "teacher": teacher}])
    assert hidden.pairs.chosen.tolist() == expected
    relation = ValueRelation(relation_heads=2, layers="auto")
    relation.prepare([{"student_value": student, "teacher_value": teacher}])
    assert relation.pairs.chosen.tolist() == expected
    attention = AttentionScores(student_heads=2, teacher_heads=2, layers="auto")
    sample = {"student_query": student, "teacher_query": teacher}
    attention.prepare([{**sample, "student_key": student, "teacher_key": teacher}])
    assert attention.pairs.chosen.tolist() == expected


def test_auto_does_not_count_the_embeddings() -> None:
    student = stack(3)
    teacher = like(student, 0, 0, 1, 2)
    loss = prepared(HiddenStatesMSE(layers="auto"), student, teacher)
    assert loss.pairs.chosen.tolist() == [1, 2]
    expected = hidden_states_mse(student, [teacher[layer] for layer in (0, 2, 3)])
    torch.testing.assert_close(loss(student, teacher), expected)


def test_auto_takes_all_batches_together() -> None:
    student = stack(2)
    good, bad = like(student, 0, -1, 1), like(student, -1, 0, 1)
    loss = HiddenStatesMSE(layers="auto", embeddings=False)
    loss.prepare([{"student": student, "teacher": teacher} for teacher in (bad, good, good)])
    assert loss.pairs.chosen.tolist() == [0, 2]


def misleading(student: tuple[torch.Tensor, ...], mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Teacher's layers that are like the student's at 0 and 1 within the mask, and at 1 and 2, much larger, outside."""
    return tuple(
        torch.where(mask.reshape(len(student[0]), -1, 1), inside, 50 * outside)
        for inside, outside in zip(like(student, 0, 1, -1), like(student, -1, 0, 1), strict=True)
    )


ROWS = torch.arange(6) < 3
TOKENS = (torch.arange(18) % 3 < 2).reshape(6, 3)


@pytest.mark.parametrize("mask", [ROWS, TOKENS], ids=["rows", "tokens"])
def test_auto_ignores_padding(mask: torch.Tensor) -> None:
    student = stack(2)
    teacher = misleading(student, mask)
    loss = HiddenStatesMSE(layers="auto", embeddings=False)
    board = {"batch": {"mask": mask}, "student": {"hidden_states": student}, "teacher": {"hidden_states": teacher}}
    addresses = {side: f"{side}.hidden_states" for side in ("student", "teacher")}
    Term(loss, addresses, where="batch.mask").prepare([board])
    assert loss.pairs.chosen.tolist() == [0, 1]
    Term(loss, addresses).prepare([board])
    assert loss.pairs.chosen.tolist() == [1, 2]


def test_auto_ignores_padding_of_attention() -> None:
    student = stack(2)
    loss = ValueRelation(relation_heads=1, layers="auto")
    sample = {"student_value": student, "teacher_value": misleading(student, TOKENS)}
    loss.prepare([{**sample, "attention_mask": TOKENS.long()}])
    assert loss.pairs.chosen.tolist() == [0, 1]
    loss.prepare([sample])
    assert loss.pairs.chosen.tolist() == [1, 2]
    sample["teacher_value"] = misleading(student, TOKENS & ROWS[:, None])
    loss.prepare([{**sample, "attention_mask": TOKENS.long()}], masks=[ROWS])
    assert loss.pairs.chosen.tolist() == [0, 1]


def test_the_choice_is_state() -> None:
    student = stack(3)
    teacher = like(student, -1, 0, 1, 2)
    loss = prepared(HiddenStatesMSE(layers="auto", embeddings=False), student, teacher)
    other = HiddenStatesMSE(layers="auto", embeddings=False)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(student, teacher), loss(student, teacher))
    assert torch.equal(pickle.loads(pickle.dumps(loss))(student, teacher), loss(student, teacher))
    with pytest.raises(RuntimeError, match=r"size mismatch for pairs\.chosen"):
        prepared(HiddenStatesMSE(layers="auto", embeddings=False), student[:2], teacher).load_state_dict(
            loss.state_dict()
        )
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: \"pairs\.chosen\""):
        HiddenStatesMSE().load_state_dict(loss.state_dict())


def test_a_compiled_loss_follows_a_choice_that_changes() -> None:
    # As when DistributedDataParallel gives all processes the buffers of the first.
    student, teacher = stack(2), stack(4, seed=1)
    loss = prepared(HiddenStatesMSE(layers="auto", embeddings=False), student, teacher)
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for chosen in ([0, 1], [2, 3], [0, 3]):
        loss.pairs.chosen.copy_(torch.tensor(chosen))
        torch.testing.assert_close(compiled(student, teacher), hidden_states_mse(student, [teacher[t] for t in chosen]))


def test_two_processes_use_the_choice_of_the_first(ranks: Ranks) -> None:
    (first, used, gradients), (second, also_used, _) = ranks(layer_ranks.choices)
    assert first == used == also_used == [0, 1]
    assert second == [1, 2]
    distiller, _ = layer_ranks.make(0)
    parts = [layer_ranks.rows_of(rank) for rank in range(2)]
    counts = distiller.counts(parts)
    for part in parts:
        distiller(part).loss(counts).backward()
    for name, parameter in distiller.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_an_unprepared_choice_is_an_error() -> None:
    loss = HiddenStatesMSE(layers="auto", embeddings=False)
    with refused(
        ArgumentError, "not_ready", match=r"chosen for 0 of the student, which gives 2; call Distiller\.prepare"
    ):
        loss(stack(2), stack(3))


def test_layers_of_unequal_width_are_projected_and_the_others_are_not() -> None:
    student, teacher = (draw(6, 4), draw(6, 3)), (draw(6, 4, seed=1), draw(6, 5, seed=2))
    loss = prepared(HiddenStatesMSE(embeddings=False), student, teacher)
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(5, 3), (5,)]
    projected = loss.projections.projections[1](student[1])
    torch.testing.assert_close(loss(student, teacher), hidden_states_mse((student[0], projected), teacher))


def test_equal_widths_need_no_preparing_and_have_no_parameters() -> None:
    student, teacher = stack(3), stack(5, seed=1)
    for loss in (HiddenStatesMSE(), CosineHidden(), PatientKD()):
        before = loss(student, teacher)
        assert torch.equal(prepared(loss, student, teacher)(student, teacher), before)
        assert not list(loss.parameters())


def test_widths_are_checked() -> None:
    student, teacher = stack(3, 4), stack(5, 6, seed=1)
    with pytest.raises(ArgumentError, match=r"its size is not known yet; call Distiller\.prepare"):
        HiddenStatesMSE()(student, teacher)
    loss = prepared(HiddenStatesMSE(), student, teacher)
    with pytest.raises(ArgumentError, match=r"have \[4, 6, 4, 6\] channels, but it is sized for \[4, 6, 4, 6, 4, 6\]"):
        loss.prepare([{"student": student[:2], "teacher": teacher}])
    with pytest.raises(ArgumentError, match="2 pairs of layers are given, but it is sized for 3"):
        loss(student[:2], teacher)


def test_copies_are_independent() -> None:
    student, teacher = stack(3, 4), stack(5, 6, seed=1)
    unsized = HiddenStatesMSE(layers="auto").double()
    copied = prepared(copy.deepcopy(unsized), student, teacher)
    assert not unsized.projections.is_sized
    assert not len(unsized.pairs.chosen)
    assert copied.projections.is_sized


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HiddenStatesMSE(layers="first"), "hidden_states_mse: no layer map 'first'"),
        (lambda: CosineHidden(layers=[]), "cosine_hidden: layers is"),
        (lambda: PatientKD(layers=[[0, 1, 2]]), "patient_kd: layers is"),
        (lambda: AttentionScores(student_heads=0, teacher_heads=2), "attention_scores: student_heads is 0"),
        (lambda: AttentionScores(student_heads=2, teacher_heads=-1), "attention_scores: teacher_heads is -1"),
        (lambda: AttentionScores(student_heads=2, teacher_heads=2, on="logits"), "on is 'logits'"),
        (lambda: AttentionScores(student_heads=2, teacher_heads=2, layers="middle"), "no layer map 'middle'"),
        (lambda: ValueRelation(relation_heads=0), "value_relation: relation_heads is 0"),
    ],
)
def test_impossible_settings_are_rejected_at_construction(make, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()
