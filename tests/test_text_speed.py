"""The benchmark of texts: on small packages it goes through, and writes what its page holds."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from reviews import ALL, ENCODER, ENCODER_FOLDER, TRAIN, TRAIN_FILE
from text_costs import padding, served, teachers
from text_costs.padding import BUCKETED, PADDED, Padded, read, with_full_batches
from text_costs.setting import LENGTH, Setting
from text_costs.turns import Spread, in_turns
from text_speed import PAGE, PARTS

from limbeck.core import logits_of
from limbeck.data.text_batches import TextBatches, read_rows
from tasks.small_texts import BAD, GOOD, PLAIN, bert


def text(row: int, words: int) -> str:
    """Words that no other row has in this order, and one that says what it is."""
    return " ".join([*random.Random(row).choices(PLAIN, k=words), (BAD, GOOD)[row % 2][0], *[PLAIN[0]] * (row % 7)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three packages: snippets of 10 to 41 words, reviews of 140, an encoder of 3 layers."""
    place = tmp_path_factory.mktemp("packages")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text", "label", "source"])
    writer.writerows((text(row, 10 + row % 32), row % 2, "rotten_tomatoes") for row in range(160))
    writer.writerows((text(row, 140), row % 2, "imdb") for row in range(1000, 1040))
    with zipfile.ZipFile(place / TRAIN, "w") as archive:
        archive.writestr(TRAIN_FILE, table.getvalue())
    with tarfile.open(place / ALL, "w:gz") as archive:
        content = json.dumps([{"t": text(row, 140), "s": row % 2} for row in range(1000, 1080)]).encode()
        entry = tarfile.TarInfo("package/reviews.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    encoder = bert(place / "encoder", classes=None, num_hidden_layers=3, max_position_embeddings=LENGTH)
    with zipfile.ZipFile(place / ENCODER, "w") as archive:
        for file in encoder.iterdir():
            archive.write(file, ENCODER_FOLDER + file.name)
    return place


@pytest.fixture
def setting(folder: Path) -> Setting:
    numbers = {"seeds": 1, "epochs": 1, "batch_size": 2, "reviews": 40, "rounds": 2, "calls": 2}
    return Setting(folder, rows=128, test_rows=32, **numbers)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    return copy


def shape(page: Path, name: str) -> str:
    """A part of a page without its figures."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->")
    part = rest.partition(f"<!-- end of {name} -->")[0]
    assert "|--:|" in part
    return re.sub(r"[-+]?\d[\d,.]*%?", "0", part)


def test_train_and_test_rows_are_apart_and_do_not_change(setting: Setting) -> None:
    train, test = ({row[0] for row in data.texts} for data in (setting.train, setting.test))
    assert (len(train), len(test), train & test) == (128, 32, set())
    assert setting.train.texts == Setting(setting.folder, rows=128, test_rows=32).train.texts


def test_both_kinds_of_batches_hold_the_same_rows_of_a_pool(setting: Setting) -> None:
    data, plan = setting.train, setting.plan(0)
    bucketed = TextBatches(data, plan, {"own": setting.reading})
    padded = Padded(data, plan, setting.reading)
    seen = [{int(row) for batch in source.iterate(0, 64) for row in batch["row"]} for source in (bucketed, padded)]
    assert seen[0] == seen[1] == set(range(128))
    tokens = sum(len(row[0].split()) + 2 for row in data.texts)
    assert with_full_batches(padded, 64) == pytest.approx(1 - tokens / (128 * LENGTH))
    assert with_full_batches(bucketed, 64) < 0.1 < with_full_batches(padded, 64)


def test_logits_are_read_in_the_order_of_the_rows(setting: Setting) -> None:
    student, data = setting.student(), setting.test
    alone = [read_rows(data, torch.tensor([row]), {"own": setting.reading}) for row in range(len(data))]
    expected = torch.cat([logits_of(student, batch).detach() for batch in alone])
    assert torch.allclose(read(student, data, setting.reading), expected, atol=1e-6)


def test_students_start_from_the_encoder_alike(setting: Setting) -> None:
    first, second = setting.student().state_dict(), setting.student().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    embeddings = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(first[embeddings], setting.teacher.state_dict()[embeddings])


def test_trainings_have_the_same_steps_in_turns() -> None:
    steps: list[tuple[str, int, int]] = []
    runs = {name: lambda start, stop, name=name: steps.append((name, start, stop)) for name in "ab"}
    seconds = in_turns(runs, 5, 2)
    assert steps == [(name, start, min(start + 2, 5)) for start in (0, 2, 4) for name in "ab"]
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2}


def test_a_spread_is_a_median_between_quartiles() -> None:
    assert Spread.of([5, 1, 2, 4, 3]).text(1) == "3.0 (2.0 to 4.0)"


def test_padding_and_teachers_write_their_parts(setting: Setting, page: Path) -> None:
    checks = PARTS["padding"](setting, page) | PARTS["teachers"](setting, page)
    assert len(checks) == 3
    for name, rows in (("padding", (BUCKETED, PADDED)), ("teachers", (teachers.CONTROL, teachers.CACHED))):
        assert all(f"| {re.sub('[0-9]+', '0', row)} |" in shape(page, name) for row in rows)
    found = re.search(r"\| control \| (.*) \|", page.read_text(encoding="utf-8"))
    assert found is not None
    assert found[1] == "1.000 (1.000 to 1.000)"


def test_training_by_length_learns_what_training_by_the_plan_learns(setting: Setting) -> None:
    found = padding.measure(setting)
    assert found.with_full_batches[BUCKETED] < found.with_full_batches[PADDED]
    assert not found.difference.clear


def test_each_model_is_compared_at_its_best_number_of_threads() -> None:
    took = {1: {served.TEACHER: 30.0, served.TRANSFORMER: 2.0}, 2: {served.TEACHER: 20.0, served.TRANSFORMER: 2.5}}
    found = served.Served(
        {served.TRANSFORMER: 15.7},
        {count: {name: Spread.of([time] * 3) for name, time in one.items()} for count, one in took.items()},
    )
    assert found.at_best(served.TRANSFORMER) == 10.0
    assert "2 layers, INT8 is 10.0 times faster than the teacher" in served.section(found)


@pytest.mark.slow
def test_shipped_files_have_their_turns(setting: Setting, page: Path) -> None:
    assert len(PARTS["served"](setting, page)) == 1 + 2 * len({1, torch.get_num_threads()})
    found = page.read_text(encoding="utf-8")
    for row in (
        served.TEACHER,
        served.PLAIN,
        *(f"{name}, {kind}" for name in served.STUDENTS for kind in served.FILES),
    ):
        assert f"| {row} |" in found
