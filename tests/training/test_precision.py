"""Whether bfloat16 pays is measured once, kept with the run and in the store, and disturbs nothing."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from accelerate import Accelerator

from limbeck.errors import ArgumentError
from limbeck.files import write_json
from limbeck.runs import stages as module
from limbeck.runs.stages import Stage, StageRunner
from limbeck.training.folder import RunFolder
from limbeck.training.precision import choose, measure_bfloat16, supports_bfloat16
from limbeck.training.progress import SilentProgress
from limbeck.training.settings import Settings
from training.toys import make_job, settings

CPU = torch.device("cpu")


@pytest.mark.parametrize(("ratio", "dtype"), [(0.5, "float32"), (1.1, "float32"), (1.2, "bfloat16"), (3.0, "bfloat16")])
def test_only_a_clear_gain_is_taken(ratio, dtype):
    assert choose(ratio) == getattr(torch, dtype)


def test_the_median_of_ratios_is_what_counts():
    ratios = [9.0, 9.0, 2.0, 50.0, 1.5, 0.1, 1.8]
    # The clock is read before and after each step: one in float32, and one of a second in bfloat16.
    readings = iter([time for ratio in ratios for time in (0.0, ratio, 0.0, 1.0)])
    job = make_job(settings())
    batch = next(job.batches.iterate(0, 1))
    # The first two pairs warm up; the median of 2, 50, 1.5, 0.1 and 1.8 is 1.8.
    assert measure_bfloat16(job.distiller, batch, device=CPU, clock=readings.__next__) == 1.8


def test_measuring_leaves_the_model_alone():
    job = make_job(settings())
    batch = next(job.batches.iterate(0, 1))
    job.distiller.prepare([batch])
    before = copy.deepcopy(job.distiller.state_dict())
    assert measure_bfloat16(job.distiller, batch, device=CPU, pairs=1) > 0
    torch.testing.assert_close(job.distiller.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in job.distiller.parameters())


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Stages of a run, on a machine that has bfloat16; with the speedups that were measured."""
    monkeypatch.setattr(module, "supports_bfloat16", lambda device: True)
    measured: list[float] = []

    def make(speedup: float, name: str = "run") -> StageRunner:
        monkeypatch.setattr(module, "measure_bfloat16", lambda *_, **__: measured.append(speedup) or speedup)
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        if not folder.environment.exists():
            write_json(folder.environment, {"processes": 1})
        return StageRunner(
            folder, accelerator=Accelerator(cpu=True), progress=SilentProgress(), plugin=None, fresh=False
        )

    make.measured = measured
    return make


def stage(seed: int = 0, **train: object) -> Stage:
    options = Settings(**{"precision": "auto", "batch_size": 10, **train})
    return Stage(
        name="student", seed=seed, reads={"model": "a"}, train=options, job=lambda precision: make_job(settings())
    )


def test_measured_once_for_all_seeds_and_runs(stages):
    first = stages(2.0)
    assert [first.precision(stage(seed)) for seed in range(3)] == [torch.bfloat16] * 3
    # A second measurement would go the other way.
    assert stages(0.5, "another").precision(stage()) == torch.bfloat16
    assert stages.measured == [2.0]


def test_another_stage_is_measured_again(stages):
    assert stages(2.0).precision(stage()) == torch.bfloat16
    assert stages(0.5, "another").precision(stage(batch_size=20)) == torch.float32
    assert stages.measured == [2.0, 0.5]


def test_a_run_keeps_what_it_began_with(stages):
    first = stages(2.0)
    assert first.precision(stage()) == torch.bfloat16
    environment = json.loads(first.folder.environment.read_text(encoding="utf-8"))
    assert environment == {"processes": 1, "precision": {"student": "bfloat16"}}
    for folder in first.store.root.iterdir():
        first.store.drop(folder.name)
    assert stages(0.5).precision(stage()) == torch.bfloat16
    assert stages.measured == [2.0]


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_what_is_asked_for_is_not_measured(stages, wanted):
    assert stages(0.5).precision(stage(precision=wanted)) == getattr(torch, wanted)
    assert stages.measured == []


def test_bfloat16_where_there_is_none(stages, monkeypatch):
    run = stages(2.0)
    monkeypatch.setattr(module, "supports_bfloat16", lambda device: False)
    assert run.precision(stage()) == torch.float32
    with pytest.raises(ArgumentError, match="precision is bfloat16, which this cpu does not compute; take auto or"):
        run.precision(stage(precision="bfloat16"))


def test_the_answer_of_this_machine_is_a_bool():
    assert supports_bfloat16(CPU) in (True, False)
