"""IMDB reviews: a BERT of 6 layers to one of 2 layers and to a BiLSTM, with 6,000 labels and 10,000 reviews without.

    python benchmarks/imdb.py --work DIR [--folder DIR] [--jobs 2] [--only table] [PART ...]

Fetches the packages of `reviews.py`, runs one recipe for each part by `limbeck run`, and writes the table of
docs/imdb.md from what the runs in DIR say so far. A part whose run is there is not run again; one that was stopped goes
on where it was. The first part, which has the machine for itself, fine-tunes the teacher, and its answers are kept for
the others; of these, as many as there are jobs run at once, in one thread each.
Prints whether the bounds hold, and exits with 1 if one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from fashion_mnist import conclude
from gains import accuracy, gain
from imdb_methods import FASTEST, ON_REQUEST, PARTS, Part, recipe
from imdb_table import table
from pages import write_section
from reviews import Review, add_folder, encoder_folder, imdb_test, imdb_train

from limbeck.files import write_text

LABELLED, UNLABELLED, TEST = 7_000, 10_000, 5_000
PAGE = Path(__file__).parent.parent / "docs" / "imdb.md"
_results = "results.json"


def write_rows(file: Path, rows: Sequence[Review]) -> None:
    write_text(file, "".join(json.dumps(row._asdict()) + "\n" for row in rows))


def prepare(work: Path, folder: Path) -> None:
    """The rows of all parts, as files: which ones is a function of the packages alone."""
    data = work / "data"
    if (data / "test.jsonl").is_file():
        return
    data.mkdir(parents=True, exist_ok=True)
    train, test = imdb_train(folder), imdb_test(folder)
    random.Random(0).shuffle(train)
    random.Random(0).shuffle(test)
    write_rows(data / "labelled.jsonl", train[:LABELLED])
    write_rows(data / "unlabelled.jsonl", train[LABELLED : LABELLED + UNLABELLED])
    # Those before were read while settings were still open.
    write_rows(data / "test.jsonl", test[2 * TEST : 3 * TEST])


def run(part: Part, work: Path, encoder: Path, threads: int = 1) -> None:
    """One part, in a process of its own, unless its results are there."""
    output = work / part.name
    if (output / _results).is_file():
        return
    command = ["resume", str(output)]
    if not (output / "recipe.yaml").is_file():
        file = work / f"{part.name}.yaml"
        write_text(file, yaml.safe_dump(recipe(part, work / "data", encoder), sort_keys=False))
        command = ["run", str(file), "--output", str(output)]
    begin = time.perf_counter()
    with (work / f"{part.name}.log").open("a") as log:
        subprocess.run(
            [sys.executable, "-m", "limbeck", *command],
            check=True,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    print(f"{part.name}: {(time.perf_counter() - begin) / 60:.1f} minutes", flush=True)


def run_all(parts: Sequence[Part], work: Path, folder: Path, jobs: int) -> None:
    """The fastest part alone, because it leaves the teacher and its answers for the others; then some at a time."""
    encoder = encoder_folder(folder)
    first, *others = sorted(parts, key=lambda part: part.name != FASTEST)
    run(first, work, encoder, threads=jobs)
    with ThreadPoolExecutor(jobs) as pool:
        for part in [pool.submit(run, part, work, encoder) for part in others]:
            part.result()


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / _results).read_text(encoding="utf-8"))
    return found


def bounds(plain: Mapping[str, Any], bilstm: Mapping[str, Any]) -> dict[str, bool]:
    """What the runs shall show."""
    teacher, kept = accuracy(plain, "teacher"), accuracy(plain, "student") / accuracy(plain, "teacher")
    large, small = (
        run["models"][name]["cost"]["parameters"] for run, name in ((plain, "teacher"), (bilstm, "student"))
    )
    return {
        f"teacher at least 85%: {teacher:.2%}": teacher >= 0.85,
        f"the student of 2 layers keeps at least 97% of it: {kept:.2%}": kept >= 0.97,
        f"the BiLSTM is at least 7.5 times smaller: {large / small:.1f}": large / small >= 7.5,
        **{
            f"{name} above its control, interval {100 * gain(run)['low']:+.2f} to {100 * gain(run)['high']:+.2f}": gain(
                run
            )["low"]
            > 0
            for name, run in (("2 layers", plain), ("BiLSTM", bilstm))
        },
    }


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual, further = [name for name in PARTS if name not in ON_REQUEST], ", ".join(ON_REQUEST)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(usual)} (the default); {further}")
    parser.add_argument("--work", type=Path, required=True, help="where the rows and the runs are")
    parser.add_argument("--jobs", type=int, default=2, help="how many parts are run at once")
    parser.add_argument("--only", choices=["runs", "table"], help="do one of both")
    add_folder(parser)
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.only != "table":
        prepare(options.work, options.folder)
        run_all([PARTS[name] for name in options.parts or usual], options.work, options.folder, options.jobs)
    if options.only != "runs":
        found = {name: results(options.work / name) for name in PARTS if (options.work / name / _results).is_file()}
        write_section(PAGE, "table", table(found))
        conclude(bounds(found["plain"], found["bilstm"]))


if __name__ == "__main__":
    main()
