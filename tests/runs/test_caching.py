"""Trainings that read what their teachers say from a cache."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import limbeck
from limbeck.cache import CacheReader
from limbeck.errors import CacheError, RecipeError
from limbeck.runs import dry_run, stages, training
from limbeck.runs.cache import CachePlan, plan_of
from limbeck.runs.plan import control, student, trainings
from limbeck.training.loop import BatchSource, Job
from recipes.small import GONE, changed, parse
from runs.finished import Go, Run, digits

# Where a machine has bfloat16, whether it pays is measured anew in every folder.
ONCE = {"epochs": 1, "precision": "float32"}
PLAIN: dict[str, Any] = {"data.augment": None, "train.epochs": 4, "models.teacher.train": ONCE}
VIEWS: dict[str, Any] = {"train.epochs": 4, "cache.views": 2, "models.teacher.train": ONCE}
# Rows of the student: enough for a cache to pay and for weights to differ. The teacher still trains on all.
FEW = {"data.limit": 400}


def plan(changes: Mapping[str, Any]) -> CachePlan:
    recipe = parse(changes)
    task = digits(**{option: recipe.data.settings[option] for option in ("labels", "augment")})
    return plan_of(recipe, task, list(trainings(recipe, task)))


def caches(run: Run) -> list[Path]:
    return sorted((run.path.parent / ".caches").glob("*"))


def largest_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert list(one) == list(other)
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


TWO = {
    "models.teacher": GONE,
    "models.a": {"use": "resnet", "width": 8, "depth": 1, "train": ONCE},
    "models.b": {"use": "mlp", "width": 16, "depth": 1, "train": ONCE},
    "models.both": {"ensemble": {"a": 1, "b": 2}},
    "objective.soft.inputs": {"teacher": "both.logits"},
}
TAPPED = {
    "models.teacher": {"use": "resnet", "width": 8, "depth": 1, "train": ONCE, "taps": {"mid": "stage1"}},
    "models.student": {"use": "resnet", "width": 4, "depth": 1, "taps": {"mid": "stage1"}},
    "objective.hint": {"loss": "hint_mse", "inputs": {"student": "student.mid", "teacher": "teacher.mid"}},
}
SEVERAL_TAPS = {
    "models.teacher": {
        "use": "resnet", "width": 4, "depth": 1, "train": ONCE, "taps": {"maps": ["stage1", "stage2"]},
    },
    "models.student": {"use": "resnet", "width": 4, "depth": 1, "taps": {"maps": ["stage1", "stage2"]}},
    "objective.hint": {
        "loss": "attention_transfer", "inputs": {"student": "student.maps.1", "teacher": "teacher.maps.1"},
    },
}  # fmt: skip
ALL_TAPS = {
    "models.teacher": {"use": "resnet", "width": 4, "depth": 1, "train": ONCE, "taps": {"maps": ["stem", "stage1"]}},
    "models.student": {"use": "resnet", "width": 4, "depth": 1, "taps": {"maps": ["stem", "stage1"]}},
    "objective.hint": {
        "loss": {"use": "hidden_states_mse", "layers": [[0, 0], [1, 1]]},
        "inputs": {"student": "student.maps", "teacher": "teacher.maps"},
    },
}


@pytest.mark.parametrize(
    "arrangement",
    [{}, TWO, TAPPED, SEVERAL_TAPS, ALL_TAPS, {"train.accumulate": 2}],
    ids=["one", "two", "tap", "taps", "all-taps", "parts"],
)
@pytest.mark.parametrize("how", [PLAIN, VIEWS], ids=["plain", "views"])
def test_a_run_with_a_cache_gives_the_weights_of_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], arrangement: dict[str, Any]
) -> None:
    recipe = changed({**how, **arrangement, **FEW})
    cached = Run(limbeck.run(recipe, output=tmp_path / "cached" / "run"))
    expected = 2 if arrangement is TWO else 1
    assert len(caches(cached)) == expected
    # The same views of the rows, with live teachers.
    monkeypatch.setattr(CachePlan, "cached_in", lambda *_: [])
    live = Run(limbeck.run(recipe, output=tmp_path / "live" / "run"))
    assert not caches(live)
    for model in ("student", "control"):
        assert largest_difference(cached.weights(model), live.weights(model)) == 0
    assert largest_difference(cached.weights("student"), cached.weights("control")) > 1e-3


RESNET = {"models.teacher": {"use": "resnet", "width": 8, "depth": 1, "train": ONCE}}


@pytest.mark.parametrize("arrangement", [{}, RESNET, TAPPED], ids=["mlp", "resnet", "tap"])
@pytest.mark.parametrize("how", [PLAIN, VIEWS], ids=["plain", "views"])
def test_in_bfloat16_a_cached_teacher_says_what_a_live_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], arrangement: dict[str, Any]
) -> None:
    for module in (stages, dry_run):
        monkeypatch.setattr(module, "supports_bfloat16", lambda device: True)
    recipe = changed({**how, **arrangement, "train.precision": "bfloat16", **FEW})
    cached = Run(limbeck.run(recipe, output=tmp_path / "cached" / "run"))
    (folder,) = caches(cached)
    assert CacheReader(folder).manifest.fingerprints["precision"] == "bfloat16"
    exact = Run(
        limbeck.run({**recipe, "train": {**recipe["train"], "precision": "float32"}}, output=tmp_path / "f" / "r")
    )
    monkeypatch.setattr(CachePlan, "cached_in", lambda *_: [])
    live = Run(limbeck.run(recipe, output=tmp_path / "live" / "run"))
    assert largest_difference(cached.weights("student"), live.weights("student")) == 0
    assert largest_difference(cached.weights("student"), exact.weights("student")) > 0


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[dict[str, Any]]]]:
    """The batches of every training, by stage."""
    seen: list[tuple[str, list[dict[str, Any]]]] = []

    def watched(**made: Any) -> Job:
        kept: list[dict[str, Any]] = []
        seen.append((made["stage"], kept))

        class Watched:
            reads_student = False

            def iterate(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
                source: BatchSource = made["batches"]
                for batch in source.iterate(start, stop):
                    kept.append(batch)
                    yield batch

        return Job(**{**made, "batches": Watched()})

    monkeypatch.setattr(training, "Job", watched)
    return seen


def test_the_student_sees_what_the_teacher_saw_and_the_control_the_same_views(
    go: Go, trained: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    run = go({**VIEWS, "cache.codec": "float16", "models.teacher.train.seed": 31, "seeds": 2})
    live = run.weights("teacher")
    by_stage: dict[str, list[list[dict[str, Any]]]] = {}
    for stage, batches in trained:
        by_stage.setdefault(stage, []).append(batches)
    assert {view for batch in by_stage["control"][0] for view in batch["view"].tolist()} == {0, 1}
    assert "cached" not in by_stage["control"][0][0]
    looks: dict[tuple[int, int], Tensor] = {}
    for batches in (*by_stage["student"], *by_stage["control"]):
        for batch in batches:
            for row, view, image in zip(batch["row"].tolist(), batch["view"].tolist(), batch["inputs"], strict=True):
                assert torch.equal(looks.setdefault((row, view), image), image)
    teacher = model_of(run, live)
    for batch in (batch for batches in by_stage["student"] for batch in batches):
        expected = teacher(batch["inputs"])
        found = batch["cached"]["teacher"]["logits"]
        assert bool(((found - expected).abs() <= 2.0**-11 * expected.abs() + 1e-6).all())
    # A teacher that learns from rows of its own has a new look at each in every epoch.
    assert "teacher" not in by_stage or {int(v) for b in by_stage["teacher"][0] for v in b["view"]} == {0}


def model_of(run: Run, weights: Mapping[str, Tensor]) -> torch.nn.Module:
    from limbeck.runs.models import Models

    recipe = parse({"models.teacher.train.seed": 31})
    return Models(recipe.models, digits(labels=100, augment={"crop": 1}), {}).trained("teacher", weights).eval()


def test_seeds_and_runs_share_one_cache(go: Go) -> None:
    settings = {**PLAIN, "models.teacher.train.seed": 41}
    before = set(caches(go({"cache": False, **settings})))
    first = go({**settings, "seeds": 2, "train.learning_rate": 3e-3})
    new = set(caches(first)) - before
    assert len(new) == 1
    written = {path: path.stat().st_mtime_ns for path in next(iter(new)).rglob("*.bin")}
    second = go({**settings, "train.learning_rate": 4e-3, "train.batch_size": 32})
    assert set(caches(second)) - before == new
    assert {path: path.stat().st_mtime_ns for path in next(iter(new)).rglob("*.bin")} == written


def test_a_given_folder_holds_one_cache_and_refuses_another(tmp_path: Path, go: Go) -> None:
    folder = tmp_path / "caches"
    settings = {**PLAIN, "cache": {"folder": str(folder)}}
    go(settings)
    assert CacheReader(folder / "teacher").manifest.rows == 1168
    go({**settings, "train.learning_rate": 3e-3})
    with pytest.raises(CacheError, match=r"holds another cache: fingerprints.teacher is '\w{38}.*', expected"):
        go({**settings, "models.teacher.train.seed": 7, "train.learning_rate": 5e-3})
    shutil.rmtree(folder / "teacher" / "shards")
    go({**settings, "train.learning_rate": 6e-3})
    assert not CacheReader(folder / "teacher").faults()


@pytest.mark.parametrize(
    ("changes", "cached", "reason"),
    [
        (PLAIN, ["teacher"], ""),
        ({"train.epochs": 4}, [], "the rows are augmented anew in every epoch, and no cache.views are given"),
        ({"data.augment": None, "train.epochs": 3}, [], "its rows are passed 3 times, which pays from 4"),
        ({"data.augment": None, "train.epochs": 2, "seeds": 2}, ["teacher"], ""),
        ({"data.augment": None, "train.epochs": 1, "cache": {}}, ["teacher"], ""),
        (VIEWS, ["teacher"], ""),
        ({**PLAIN, "cache": {"teachers": []}}, [], "cache.teachers does not name it"),
        ({**PLAIN, "models.teacher.inputs": "batch.index"}, [], "it reads batch.index, and a cache knows the inputs"),
    ],
)
def test_what_is_cached_by_itself_and_on_request(changes: dict[str, Any], cached: list[str], reason: str) -> None:
    found = plan(changes)
    assert list(found.outputs) == cached
    assert found.live.get("teacher", "").startswith(reason)
    assert ("teacher" in found.live) == bool(reason)


def test_false_caches_nothing() -> None:
    assert dataclasses.asdict(plan({**PLAIN, "cache": False}))["outputs"] == {}


def test_what_terms_read_is_cached() -> None:
    assert plan({**PLAIN, **TAPPED}).outputs == {"teacher": ("logits", "mid")}
    assert plan({**PLAIN, **TWO}).outputs == {"a": ("logits",), "b": ("logits",)}


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"teachers": ["techer"]}, "'techer' is no model. Did you mean 'teacher'"),
        ({"teachers": ["student"]}, "'student' cannot be cached: it is no frozen teacher that a term reads"),
        ({"codec": "flaot16"}, "cache.codec: no codec 'flaot16'. Did you mean 'float16'"),
        ({"codc": "float16"}, "cache takes no 'codc'. Did you mean 'codec'"),
        ({"views": 0}, "cache: views is 0; it must be at least 1"),
        (True, "cache is True; write auto, false, or a section"),
        ("no", "cache is 'no'; write auto, false, or a section"),
    ],
)
def test_what_cannot_be_is_refused(cache: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan({**PLAIN, "cache": cache})


def test_augmentation_needs_views_where_a_cache_is_asked_for() -> None:
    with pytest.raises(RecipeError, match=r"data.augment changes the rows anew.* cache: {views: 4}"):
        plan({"cache": {"codec": "float16"}})


def test_a_teacher_that_cannot_be_cached_is_refused_by_name_and_live_otherwise() -> None:
    peer = {"models.peer": {"use": "mlp", "width": 8, "depth": 2, "train": "together"}}
    term = {"objective.mutual": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}}}
    assert list(plan({**PLAIN, **peer, **term, "cache": {}}).outputs) == ["teacher"]
    with pytest.raises(RecipeError, match="'peer' cannot be cached: it is no frozen teacher that a term reads"):
        plan({**PLAIN, **peer, **term, "cache": {"teachers": ["peer"]}})
    whole = {"teachers": ["both"]}
    with pytest.raises(RecipeError, match=r"'both' is made of others; name those .*: \['a', 'b'\]"):
        plan({**PLAIN, **TWO, "cache": whole})
    tap = {f"models.{name}.taps": {"mid": "net"} for name in ("teacher", "student")}
    mid = {"inputs": {"student": "student.mid", "teacher": "teacher.mid"}}
    differentiating = {**tap, "objective.attention": {"loss": "gradient_attention", **mid}}
    assert plan({**PLAIN, **differentiating}).live == {"teacher": "the term 'attention' differentiates it"}


@pytest.mark.parametrize(
    ("cache", "same"),
    [
        (False, True),
        ({}, True),
        ({"batch_size": 7, "folder": "x"}, True),
        ({"views": 3}, True),
        ({"codec": "float16"}, False),
        ({"features": "float16"}, True),
    ],
)
def test_the_key_of_a_stage_knows_only_what_changes_its_result(cache: Any, same: bool) -> None:
    assert (reads({**PLAIN, "cache": cache}) == reads({**PLAIN})) == same


def test_the_number_of_views_is_part_of_the_keys_of_student_and_control() -> None:
    assert reads(VIEWS) == [{"views": 2}, {"views": 2}]
    assert reads({**VIEWS, "cache.codec": "float16"})[1] == {"views": 2}


def reads(changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    recipe = parse(changes)
    task = digits(labels=100, augment=recipe.data.settings["augment"])
    found = plan_of(recipe, task, list(trainings(recipe, task)))
    return [found.reads(training, recipe.models, task) for training in (student(recipe, task), control(recipe, task))]


def test_a_sparse_codec_that_a_term_does_not_take_is_refused_before_anything_is_trained(
    tmp_path: Path, no_training: None
) -> None:
    sparse = {**PLAIN, "cache": {"codec": {"use": "topk", "k": 3, "temperature": 2.0}}}
    term = {"objective.soft.loss": {"use": "decoupled_kd", "temperature": 2.0}}
    with pytest.raises(RecipeError, match=r"DecoupledKD reads sparse logits at 'teacher.logits'"):
        limbeck.run(changed({**sparse, **term}), output=tmp_path / "run")
    with pytest.raises(RecipeError, match=r"temperature is 2\.0, and the teacher's sparse logits are stored at 1\.0"):
        limbeck.run(changed({**sparse, "cache.codec": {"use": "topk", "k": 3}}), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_learns_from_sparse_logits(go: Go) -> None:
    run = go({**PLAIN, "cache": {"codec": {"use": "topk", "k": 3, "temperature": 2.0}}})
    live = go({**PLAIN, "cache": False})
    assert 0 < largest_difference(run.weights("student"), live.weights("student")) < 0.3
    assert largest_difference(run.weights("control"), live.weights("control")) == 0
