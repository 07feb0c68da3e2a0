"""The benchmark of time and memory: every loss is in it, and computes what its straightforward code does."""

import pytest
import torch
from loss_costs import memory
from loss_costs.cases import CASES, Case
from loss_costs.comparison import LossComparison

from limbeck import registry


def test_every_loss_is_in_it() -> None:
    own = {name for name in registry.names("loss") if registry.lookup("loss", name).__module__.startswith("limbeck.")}
    assert own == {case.name for case in CASES}
    assert set(memory.LOSSES) <= own


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_loss_is_its_straightforward_code(case: Case) -> None:
    LossComparison(case, 8).check()


def test_what_is_not_the_same_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = LossComparison(next(case for case in CASES if case.name == "mse_logits"), 8)
    monkeypatch.setattr(comparison, "code", lambda student, teacher: (student - 1.0001 * teacher).square().mean(-1))
    with pytest.raises(SystemExit, match=r"mse_logits: the code and the loss differ by .* in result 0"):
        comparison.check()
    monkeypatch.setattr(comparison, "code", lambda student, teacher: torch.zeros(len(student)) * student.sum())
    with pytest.raises(SystemExit, match="mse_logits"):
        comparison.check()
