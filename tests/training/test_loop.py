"""The loop against the same loop written by hand, and its parts against what they promise."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from limbeck.core import Term
from limbeck.data import Plan
from limbeck.losses import CrossEntropy
from limbeck.training.optimizers import rate_factor
from training.learning import Maps, learned, learning_job
from training.toys import MLP, Place, StoppedError, make_job, rows, settings, stopping


def by_hand(train, *, clip=None) -> dict[str, torch.Tensor]:
    """AdamW on the plan's rows, in plain torch."""
    data, model = rows(), MLP()
    plan = Plan(data.labelled, batch_size=train.batch_size, seed=train.seed)
    optimizer = torch.optim.AdamW(model.parameters(), train.learning_rate, weight_decay=train.weight_decay)
    for step in range(plan.steps_per_epoch * train.epochs):
        optimizer.param_groups[0]["lr"] = train.learning_rate * rate_factor(
            train, step, plan.steps_per_epoch * train.epochs
        )
        numbers, _ = plan.rows(step)
        images = data.images.take(numbers)
        images = images if images.is_floating_point() else images.float() / 255
        optimizer.zero_grad()
        F.cross_entropy(model(images), data.target[numbers]).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize("clip", [None, 0.1])
def test_the_loop_written_by_hand(tmp_path, clip):
    train = settings(clip=clip, learning_rate=0.01)
    weights = Place(tmp_path).fit(make_job(train))
    torch.testing.assert_close(weights, by_hand(train, clip=clip), rtol=1e-5, atol=1e-6)
    if clip is not None:
        unclipped = by_hand(train)
        assert not torch.allclose(weights["1.weight"], unclipped["1.weight"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_give_the_weights_of_whole_batches(tmp_path, accumulate):
    """Also where they hold different numbers of labelled rows."""

    def train(parts: int) -> dict[str, torch.Tensor]:
        changes = {"batch_size": 12, "accumulate": parts, "optimizer": "sgd", "learning_rate": 0.1}
        job = make_job(settings(**changes), terms={"hard": Term(CrossEntropy())}, data=rows(labelled=17))
        place = Place(tmp_path / str(parts))
        weights = place.fit(job)
        return {**weights, "losses": torch.tensor([event["loss"] for event in place.events()])}

    torch.testing.assert_close(train(accumulate), train(1), rtol=1e-5, atol=1e-5)


class Watching(MLP):
    """Says which mode every forward runs in."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.modes = [*getattr(self, "modes", []), self.training]
        return super().forward(images)


def test_validation_is_in_eval_mode_and_training_goes_on_in_train_mode(tmp_path):
    model = Watching()

    def validate(student: nn.Module) -> dict[str, float]:
        student(torch.zeros(1, 1, 3, 3))
        return {"accuracy": 0.5}

    Place(tmp_path).fit(make_job(settings(), model=model, validate=validate))
    # One forward of `prepare`, then five steps and one validation for each epoch.
    assert model.modes == [False, *[True] * 5, False, *[True] * 5, False]


def test_events_hold_every_logged_step_and_every_validation(tmp_path):
    place = Place(tmp_path)
    place.fit(make_job(settings(log_every=3), validate=lambda model: {"accuracy": 0.25}))
    found = [(e["step"], e["epoch"], "validation" in e) for e in place.events()]
    assert found == [(3, 0, False), (5, 0, True), (6, 1, False), (9, 1, False), (10, 1, True)]
    first = place.events()[0]
    assert list(first) == ["stage", "seed", "step", "epoch", "seconds", "loss", "terms", "weights"]
    assert first["loss"] == first["terms"]["hard"]
    assert first["weights"] == {"hard": 1.0}


class Scripted:
    """A validation with given accuracies that remembers the weights it was shown."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = iter(scores)
        self.seen: list[dict[str, torch.Tensor]] = []

    def __call__(self, model: nn.Module) -> dict[str, float]:
        self.seen.append(copy.deepcopy(model.state_dict()))
        return {"accuracy": next(self.scores)}


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ([0.2, 0.5, 0.4, 0.5, 0.3], 3, 5, 1),
        ([0.2, 0.5, 0.4, 0.5, 0.3], 2, 4, 1),
        ([0.5, 0.4, 0.3, 0.9, 0.9], 1, 2, 0),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1, 5, 4),
        ([0.0, 0.0, 0.0, 0.0, 0.0], None, 5, 0),
    ],
)
def test_early_stopping_and_the_best_epoch(tmp_path, scores, patience, epochs, best):
    place, validate = Place(tmp_path), Scripted(scores)
    train = settings(epochs=5, patience=patience, select="best")
    weights = place.fit(make_job(train, validate=validate))
    assert len(validate.seen) == epochs
    logged = [event["validation"]["accuracy"] for event in place.events() if "validation" in event]
    assert logged == scores[:epochs]
    assert logged.index(max(logged)) == best
    torch.testing.assert_close(weights, validate.seen[best], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("errors", "patience", "epochs", "best"),
    [
        ([3.0, 1.5, 2.0, 1.5, 0.5], 2, 4, 1),
        ([3.0, 2.0, 1.0, 0.5, 0.1], 1, 5, 4),
        ([0.0, 9.0, 9.0, 9.0, 9.0], None, 5, 0),
    ],
)
def test_a_score_that_is_better_when_lower(tmp_path, errors, patience, epochs, best):
    place, validate = Place(tmp_path), Scripted(errors)
    train = settings(epochs=5, patience=patience, select="best")
    job = dataclasses.replace(make_job(train, validate=validate), higher_is_better=False)
    weights = place.fit(job)
    assert [event["validation"]["accuracy"] for event in place.events() if "validation" in event] == errors[:epochs]
    assert errors[:epochs].index(min(errors[:epochs])) == best
    torch.testing.assert_close(weights, validate.seen[best], rtol=0, atol=0)


def test_the_lowest_error_is_kept_across_a_resume(tmp_path):
    train = settings(epochs=4, checkpoint_every=0, patience=2)
    place, before, after = Place(tmp_path), Scripted([2.0, 1.0]), Scripted([3.0, 4.0])
    jobs = [
        dataclasses.replace(make_job(train, validate=validate), higher_is_better=False) for validate in (before, after)
    ]
    with pytest.raises(StoppedError):
        place.fit(stopping(jobs[0], 12))
    weights = place.fit(jobs[1])
    assert len(after.seen) == 2
    torch.testing.assert_close(weights, before.seen[1], rtol=0, atol=0)


def test_the_last_weights_unless_the_best_are_wanted(tmp_path):
    validate = Scripted([0.9, 0.1])
    weights = Place(tmp_path).fit(make_job(settings(), validate=validate))
    torch.testing.assert_close(weights, validate.seen[1], rtol=0, atol=0)


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_k_checkpoints_stay(tmp_path, keep):
    place = Place(tmp_path, keep=keep)
    place.fit(make_job(settings(checkpoint_every=0, keep_checkpoints=keep)))
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == [f"step-{step:08d}.pt" for step in range(11 - keep, 11)]


def test_no_checkpoint_before_its_time(tmp_path):
    place = Place(tmp_path)
    place.fit(make_job(settings(checkpoint_every=3600)))
    assert place.checkpoints.newest is None


@pytest.mark.parametrize("step", [1, 4, 5, 9])
def test_a_stage_goes_on_from_its_checkpoint(tmp_path, step):
    train = settings(checkpoint_every=0, select="best")

    def job() -> object:
        scores = itertools.count(start=1)
        return make_job(train, model=MLP(dropout=0.5), validate=lambda model: {"accuracy": 1 / next(scores)})

    whole = Place(tmp_path / "whole")
    expected = whole.fit(job())
    broken = Place(tmp_path / "broken")
    with pytest.raises(StoppedError):
        broken.fit(stopping(job(), step))
    # Written after the checkpoint, and cut off by it.
    broken.log.write({"step": 99})
    torch.testing.assert_close(broken.fit(job()), expected, rtol=0, atol=0)
    losses = [[(e["step"], e.get("loss")) for e in place.events()] for place in (whole, broken)]
    assert losses[0] == losses[1]


def test_a_checkpoint_of_another_stage_is_not_taken_and_goes(tmp_path):
    train = settings(checkpoint_every=0)
    other = Place(tmp_path, key="other")
    other.fit(make_job(settings(checkpoint_every=0, epochs=3, learning_rate=0.1)))
    expected = Place(tmp_path / "alone").fit(make_job(train))
    place = Place(tmp_path)
    with pytest.raises(StoppedError):
        place.fit(stopping(make_job(train), 2))
    assert json.dumps([p.name for p in sorted((tmp_path / "checkpoints").iterdir())]) == json.dumps(
        ["step-00000001.pt", "step-00000002.pt"]
    )
    torch.testing.assert_close(place.fit(make_job(train)), expected, rtol=0, atol=0)


def test_bfloat16_trains(tmp_path):
    full, half = (
        Place(tmp_path / name).fit(make_job(settings(epochs=20, learning_rate=0.01), model=MLP()), dtype)
        for name, dtype in (("full", torch.float32), ("half", torch.bfloat16))
    )
    assert all(value.dtype == torch.float32 for value in half.values())
    assert not torch.equal(full["1.weight"], half["1.weight"])
    data = rows()
    images = data.images.take(torch.arange(len(data)))
    images = images if images.is_floating_point() else images.float() / 255
    model = MLP()
    untrained = (model(images).argmax(1) == data.target).float().mean()
    model.load_state_dict(half)
    assert (model(images).argmax(1) == data.target).float().mean() > untrained + 0.2


@pytest.mark.parametrize("accumulate", [1, 2])
def test_losses_learn_from_as_many_batches_as_they_ask_for(accumulate):
    job = learning_job(settings(accumulate=accumulate))
    margin = learned(job, Accelerator(cpu=True))["overhaul.margin"]
    assert job.distiller.prepare_batches == 16
    images = torch.cat([batch["inputs"] for batch in job.batches.iterate(0, 16)])
    responses = Maps(1)[0](images).movedim(1, -1).flatten(0, -2)
    expected = [channel[channel < 0].mean() if (channel < 0).any() else torch.zeros(()) for channel in responses.T]
    torch.testing.assert_close(margin, torch.stack(expected).detach())
    assert margin.any()


@pytest.mark.parametrize("step", [16, 19])
def test_a_stage_whose_losses_have_learned_goes_on_from_its_checkpoint(tmp_path, step):
    train = settings(epochs=4, checkpoint_every=0)
    expected = Place(tmp_path / "whole").fit(learning_job(train))
    broken = Place(tmp_path / "broken")
    with pytest.raises(StoppedError):
        broken.fit(stopping(learning_job(train), step))
    assert broken.checkpoints.newest == tmp_path / "broken" / "checkpoints" / f"step-{step:08d}.pt"
    torch.testing.assert_close(broken.fit(learning_job(train)), expected, rtol=0, atol=0)
