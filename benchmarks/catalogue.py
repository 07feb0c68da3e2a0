"""Every registered loss alone beside the hard loss, on Fashion-MNIST, against the control and against plain KD.

    python benchmarks/catalogue.py --folder DIR --work DIR                everything; what is there is not done again
    python benchmarks/catalogue.py --folder DIR --work DIR --only table   the tables in docs/catalogue.md
    python benchmarks/catalogue.py --folder DIR --work DIR --full         all rows, 12 epochs, 5 seeds: for a GPU

A student of 20,000 parameters learns from 4,000 images in equal steps with each method, an encoder with those for
transformers. For each method, the weight from its paper is taken 0.1, 1 or 10 times, as is best on the validation rows;
after that, fresh students are measured on the test rows. Everything that was found stays in the work folder.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from loss_catalogue.bench import Bench, Place
from loss_catalogue.choices import Trials
from loss_catalogue.methods import CONTROL, PLAIN
from loss_catalogue.runs import Ledger
from loss_catalogue.settings import SETTINGS
from loss_catalogue.study import FULL, Study
from loss_catalogue.table import section
from loss_catalogue.timing import ratios_of_time
from pages import write_section

from limbeck.errors import suggest
from limbeck.files import write_json

PHASES = ("students", "timing", "table")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--folder", type=Path, required=True, help="with the four IDX files of Fashion-MNIST")
    made.add_argument("--work", type=Path, required=True, help="where teachers, students' results and times are kept")
    made.add_argument("--page", type=Path, default=Path(__file__).parent.parent / "docs" / "catalogue.md")
    made.add_argument("--full", action="store_true", help="all rows, 12 epochs, 5 seeds")
    made.add_argument("--only", choices=PHASES, help="one phase; timing measures anew")
    made.add_argument("--setting", choices=SETTINGS, help="one of the two tables")
    made.add_argument("--methods", nargs="+", help="these rows only, with the control and plain KD")
    made.add_argument("--processes", type=int, default=2, help="students that are trained at a time, each on one core")
    made.add_argument("--device", default="auto", help="auto, cpu or cuda")
    made.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="a number of the study, as in epochs=1"
    )
    return made


def study_of(given: argparse.Namespace) -> Study:
    changes = dict(change.split("=") for change in given.set)
    base = FULL if given.full else Study()
    return replace(base, **{name: json.loads(value) for name, value in changes.items()})


def device_of(name: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def main() -> None:
    given = parser().parse_args()
    study, place = study_of(given), Place(given.folder, given.work, device_of(given.device))
    given.work.mkdir(parents=True, exist_ok=True)
    for name in [given.setting] if given.setting else SETTINGS:
        run(name, given, study, place)


def run(name: str, given: argparse.Namespace, study: Study, place: Place) -> None:
    torch.set_num_threads(1)
    methods = SETTINGS[name].methods
    known = {method.name for method in methods}
    for wanted in given.methods or []:
        if wanted not in known:
            raise SystemExit(f"no method {wanted!r} in {name}.{suggest(wanted, known)}")
    chosen = {*(given.methods or known), CONTROL.name, PLAIN.name}
    methods = tuple(method for method in methods if method.name in chosen)
    bench, ledger, times = Bench(name, study, place), Ledger(given.work), given.work / f"times-{name}.json"
    bench.train_teacher()
    trials = Trials(name, methods, study, place, given.processes, ledger)
    if given.only in (None, "students"):
        trials.train()
    measured = json.loads(times.read_text()) if times.is_file() else {}
    missing = [method for method in methods if given.only == "timing" or method.name not in measured]
    if given.only in (None, "timing") and missing:
        measured |= ratios_of_time(bench, missing)
        write_json(times, measured)
    if given.only in (None, "table"):
        write_section(given.page, name, section(bench, trials, measured))


if __name__ == "__main__":
    main()
