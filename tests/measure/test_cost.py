from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.measure import flops, latency, parameters, throughput
from refusals import refused


class Counted:
    """A call that counts itself."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 64, 10),
    )


def test_parameters_by_hand_and_shared_ones_once() -> None:
    assert parameters(net()) == (4 * 9 + 4) + 8 + (256 * 10 + 10)
    layer = nn.Linear(3, 3)
    assert parameters(nn.Sequential(layer, layer)) == 12


@pytest.mark.parametrize("rows", [1, 7])
def test_flops_of_one_row_by_hand(rows: int) -> None:
    assert flops(net(), torch.zeros(rows, 1, 8, 8)) == 2 * (64 * 4 * 9) + 2 * (256 * 10)


def test_flops_leaves_the_model_as_it_was() -> None:
    model = net().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    flops(model, torch.ones(1, 1, 8, 8))
    assert [module.training for module in model] == [True, False, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_flops_puts_modes_back_after_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            raise RuntimeError("broken")

    model = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        flops(model, torch.zeros(1))
    assert model.training


def test_latency_has_ordered_quartiles_and_the_threads() -> None:
    call = Counted()
    found = latency(call, repeats=50, warmup=3)
    assert 8 <= call.calls <= 53
    assert 0 <= found.low_ms <= found.median_ms <= found.high_ms
    assert found.threads == torch.get_num_threads()
    assert latency(call, threads=7).threads == 7


def test_throughput_is_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 10)  # a call takes 0.1 s
    assert throughput(Counted(), 64) == pytest.approx(64 * 4 / 0.5)
    assert throughput(Counted(), 64, seconds=1.0) == pytest.approx(64 * 9 / 1.0)


def test_a_shorter_measurement_makes_fewer_calls_and_at_least_those_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 10)
    for seconds, timed in ((0.0, 5), (0.65, 7), (1.95, 20)):
        call = Counted()
        latency(call, warmup=0, seconds=seconds)
        assert call.calls == timed
    call = Counted()
    assert throughput(call, 64, seconds=0.0) > 0
    assert call.calls == 2


@pytest.mark.parametrize(("repeats", "warmup"), [(4, 0), (5, -1)])
def test_latency_refuses_what_has_no_quartiles(repeats: int, warmup: int) -> None:
    with refused(ArgumentError, "out_of_range", "repeats"):
        latency(Counted(), repeats=repeats, warmup=warmup)


def test_throughput_refuses_an_empty_batch() -> None:
    with refused(ArgumentError, "out_of_range", "rows"):
        throughput(Counted(), 0)
