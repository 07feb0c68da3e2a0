import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._memory_bank import MemoryBank
from refusals import refused


def draw(rows: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)))


def make(rows: int | None = None, momentum: float = 0.25) -> MemoryBank:
    return MemoryBank(rows=rows, features=4, momentum=momentum)


def stage(bank: MemoryBank, rows: list[int], seed: int = 0, mask: list[bool] | None = None) -> Tensor:
    values = draw(len(rows), seed)
    admitted = torch.tensor([True] * len(rows) if mask is None else mask)
    bank.stage(torch.tensor(rows), torch.arange(len(rows)), values, -values, admitted)
    return values


def test_a_row_moves_towards_what_it_is_now() -> None:
    bank = make(rows=6)
    first = stage(bank, [4, 1])
    bank.commit(1)
    torch.testing.assert_close(bank.student[[4, 1]], first, rtol=0, atol=0)
    second = stage(bank, [1, 2], seed=1)
    bank.commit(2)
    mixed = F.normalize(0.25 * first[1] + 0.75 * second[0], dim=0)
    torch.testing.assert_close(bank.student[1], mixed)
    torch.testing.assert_close(bank.teacher, -bank.student)
    assert bank.seen.tolist() == [False, True, True, False, True, False]
    assert bank.label.tolist() == [-100, 0, 1, -100, 0, -100]
    assert bank.step == 2


def test_nothing_moves_before_the_commit() -> None:
    bank = make(rows=6)
    stage(bank, [4, 1])
    assert not bank.seen.any()
    assert not bank.student.any()


def test_rows_left_out_are_not_written() -> None:
    bank = make(rows=3)
    stage(bank, [0, 1, 0], mask=[True, True, False])
    bank.commit(1)
    assert bank.seen.tolist() == [True, True, False]
    torch.testing.assert_close(bank.student[0], draw(3)[0])


def test_of_a_row_staged_twice_the_last_counts() -> None:
    bank = make(rows=3)
    stage(bank, [0, 1, 0])
    later = stage(bank, [1], seed=1)
    bank.commit(1)
    torch.testing.assert_close(bank.student[0], draw(3)[2])
    torch.testing.assert_close(bank.student[1], later[0])


def test_it_grows_with_the_rows_seen() -> None:
    bank, fixed = make(), make(rows=9)
    for step, rows in enumerate(([2, 0], [7, 1], [8]), start=1):
        for one in (bank, fixed):
            stage(one, rows, seed=step)
            one.commit(step)
        assert len(bank.seen) == max(len(bank.seen), max(rows) + 1)
    for name, kept in fixed.state_dict().items():
        assert torch.equal(bank.state_dict()[name], kept)


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_beyond_the_training_set_are_rejected(row: int) -> None:
    bank = make(rows=3)
    stage(bank, [0, row])
    with refused(ArgumentError, "out_of_range", "row"):
        bank.commit(1)


def test_opposite_embeddings_leave_a_row_of_zeros() -> None:
    bank = make(rows=1, momentum=0.5)
    for sign in (1, -1):
        value = sign * torch.eye(4)[:1]
        bank.stage(torch.tensor([0]), None, value, value, torch.tensor([True]))
        bank.commit(1)
    assert not bank.student.any()
    assert bank.seen.all()


def test_ddp_has_nothing_to_broadcast_and_the_state_has_everything() -> None:
    bank = make(rows=6)
    stage(bank, [4, 1])
    bank.commit(3)
    assert not list(bank.buffers())
    assert not list(bank.parameters())
    holder, other = nn.ModuleDict({"bank": bank}), nn.ModuleDict({"bank": make()})
    stage(other["bank"], [0])
    state = copy.deepcopy(holder.state_dict())
    assert sorted(state) == ["bank.label", "bank.seen", "bank.step", "bank.student", "bank.teacher"]
    other.load_state_dict(state)
    stage(bank, [0], seed=5)
    bank.commit(4)
    for name, kept in other.state_dict().items():
        assert torch.equal(kept, state[name])
    other["bank"].commit(4)
    assert not other["bank"].seen[0], "what was staged before loading is gone"


def test_states_that_do_not_fit_are_rejected() -> None:
    state = make(rows=6).state_dict()
    for bank in (make(rows=5), MemoryBank(rows=6, features=3, momentum=0.5)):
        with pytest.raises(RuntimeError, match=r"size mismatch for student: the state has shape \[6, 4\]"):
            bank.load_state_dict(state)
    del state["seen"]
    with pytest.raises(RuntimeError, match="Missing key"):
        make(rows=6).load_state_dict(state)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        make().load_state_dict({**make().state_dict(), "other": torch.zeros(1)})


def test_casting_keeps_at_least_float32() -> None:
    bank = make(rows=2)
    stage(bank, [0, 1])
    bank.commit(1)
    before = bank.student.clone()
    for dtype, kept in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        bank.to(dtype)
        assert bank.student.dtype == kept
        assert bank.label.dtype == torch.int64
    assert torch.equal(bank.student, before.double())


def test_copies_are_independent_also_in_another_process() -> None:
    bank = make(rows=2)
    for other in (copy.deepcopy(bank), pickle.loads(pickle.dumps(bank))):
        stage(other, [0])
        other.commit(1)
        assert other.seen.any()
        assert not bank.seen.any()


def test_forwards_without_a_step_are_an_error() -> None:
    bank = make()
    bank.max_staged = 5
    for _ in range(5):
        stage(bank, [0])
    with refused(ArgumentError, "not_ready"):
        stage(bank, [0])
    bank.commit(1)
    stage(bank, [0])


@pytest.mark.parametrize("options", [{"rows": 0}, {"features": 0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_impossible_settings_are_rejected(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=rf"memory bank: {next(iter(options))} is"):
        MemoryBank(**{"rows": 3, "features": 4, "momentum": 0.5, **options})
