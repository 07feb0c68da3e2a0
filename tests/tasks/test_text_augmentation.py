"""Copies of texts in other words: which rows have them, and which models see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck.api
from data.record_files import texts
from limbeck.errors import ArgumentError, RecipeError
from limbeck.models import hugging_face
from limbeck.recipes.schema import parse_recipe
from limbeck.runs.cache import plan_of
from limbeck.runs.plan import student, trainings
from limbeck.tasks import TextClassification, TextSettings
from limbeck.training.progress import SilentProgress
from tasks.small_masked import masked_bert
from tasks.small_texts import bert, recipe

COPIES = 2


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def augmented(folder: Path, **changes: Any) -> dict[str, Any]:
    given = recipe(folder, use="bag_of_words")
    # It is taken as it is: what it says is compared, not whether it is right.
    given["models"]["teacher"] = {"use": "hugging_face", "folder": str(bert(folder / "tuned"))}
    given["data"]["augment"] = {"folder": str(masked_bert(folder / "masked")), "candidates": 3, "copies": COPIES}
    given["data"]["limit"] = 100
    given["export"] = {"formats": []}
    return {**given, **changes}


def task(folder: Path, **changes: Any) -> TextClassification:
    section = augmented(folder)["data"]
    source = texts("csv", file=section["file"], text="review", label="verdict").load()
    settings = TextSettings(max_length=12, augment=section["augment"], **changes)
    made = TextClassification(source, settings)
    return made.reading(lambda: {"student": hugging_face(names=made.classes, folder=str(folder / "tuned"))})[0]


def epochs(made: TextClassification, rows: Any, count: int) -> list[dict[int, list[int]]]:
    """For each epoch, the tokens of every row by its number."""
    batches, steps = made.batches(rows, batch_size=8, seed=0, rank=0, world=1)
    found = []
    for epoch in range(count):
        seen: dict[int, list[int]] = {}
        for batch in batches.iterate(epoch * steps, (epoch + 1) * steps):
            tokens = batch["inputs"]["input_ids"]
            assert batch["target"].ne(-100).all()
            for row, ids, real in zip(batch["row"].tolist(), tokens, batch["inputs"]["attention_mask"], strict=True):
                seen[row] = ids[real.bool()].tolist()
        found.append(seen)
    return found


def test_the_student_sees_a_row_and_then_its_copies_and_a_teacher_the_row_alone(tmp_path: Path) -> None:
    made = task(tmp_path)
    plain, *copies, again = epochs(made, made.student_rows, COPIES + 2)
    for seen in (plain, again):
        data = made.student_rows.rows
        for row, tokens in seen.items():
            expected = made.tokenizer_views["student"].tokenizer(data.texts[row][0], truncation=True, max_length=12)
            assert tokens == expected["input_ids"]
    assert all(sum(copy[row] != plain[row] for row in copy.keys() & plain.keys()) > len(plain) / 2 for copy in copies)
    first, second = epochs(made, made.teacher_rows, 2)
    assert all(first[row] == second[row] for row in first.keys() & second.keys())


def test_a_step_is_the_same_for_whoever_asks(tmp_path: Path) -> None:
    steps = []
    for _ in range(2):
        made = task(tmp_path, labels=20)
        batches, _ = made.batches(made.student_rows, batch_size=8, seed=3, rank=0, world=1)
        steps.append(next(batches.iterate(25, 26)))
    torch.testing.assert_close(steps[0], steps[1], rtol=0, atol=0)


def test_a_run_counts_the_copies(tmp_path: Path) -> None:
    message: list[str] = []

    class Told(SilentProgress):
        def note(self, line: str) -> None:
            message.append(line)

    path = limbeck.run(augmented(tmp_path), output=tmp_path / "run", progress=Told())
    results = json.loads((path / "results.json").read_text(encoding="utf-8"))
    assert results["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 40, "copies": 200}
    (line,) = (line for line in message if "augment" in line)
    assert line.startswith("data: augment has 200 copies of 100 training rows in other words, ")
    assert "<dt>copies</dt><dd>200</dd>" in (path / "report.html").read_text(encoding="utf-8")
    assert "In addition: 200 copies." in (path / "README.md").read_text(encoding="utf-8")


def test_a_cache_holds_all_looks_and_changes_nothing(tmp_path: Path) -> None:
    # 12 of 40 unlabelled rows in each batch: each view of a row comes four times in 12 epochs.
    train = {"epochs": 12, "batch_size": 16, "precision": "float32"}
    weights = []
    for cache in ("auto", False):
        path = limbeck.run(augmented(tmp_path, train=train, cache=cache), output=tmp_path / str(cache) / "run")
        weights.append(load_file(path / "models" / "student" / "model.safetensors"))
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "auto" / ".caches").glob("*/manifest.json")]
    assert [found["views"] for found in manifests] == [COPIES + 1]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("epochs", "live"), [(12, False), (11, True)])
def test_it_pays_from_four_passes_of_each_look(tmp_path: Path, epochs: int, live: bool) -> None:
    recipe, made = parse_recipe(augmented(tmp_path, train={"epochs": epochs}), name="x"), task(tmp_path)
    plan = plan_of(recipe, made, list(trainings(recipe, made)))
    assert (plan.cached_in(student(recipe, made), recipe.models) == []) is live
    assert plan.views == COPIES + 1


def test_stages_are_shared_between_runs_with_caches_and_without(tmp_path: Path) -> None:
    made, found = task(tmp_path), []
    for cache in ("auto", False):
        recipe = parse_recipe(augmented(tmp_path, cache=cache), name="x")
        plan = plan_of(recipe, made, list(trainings(recipe, made)))
        found.append(plan.reads(student(recipe, made), recipe.models, made))
    assert found == [{"views": COPIES + 1}] * 2


def test_a_recipe_without_a_model_for_words(tmp_path: Path) -> None:
    given = augmented(tmp_path)
    given["data"]["augment"] = {"copies": 2}
    with pytest.raises(RecipeError, match=r"data\.augment: .* needs 'folder'"):
        limbeck.api.check(given)
    given["data"]["augment"] = {"folder": str(tmp_path / "tuned")}
    with pytest.raises(ArgumentError, match=r"data\.augment: .*tuned has no head for words"):
        limbeck.api.check(given)
