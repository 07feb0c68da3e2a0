"""Texts: what padding, a teacher and a model in service cost, as ratios of what is measured in turns in one run.

    python benchmarks/text_speed.py padding      batches by length against padding to 128 tokens
    python benchmarks/text_speed.py teachers     an epoch of the control, with a cached and with a live teacher
    python benchmarks/text_speed.py served       the files that a run ships against its teacher in PyTorch
    python benchmarks/text_speed.py              all three

Texts and encoder are those of benchmarks/reviews.py; the student of both trainings has two of the encoder's layers. The
figures go into docs/text-speed.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from fashion_mnist import conclude
from pages import write_section
from reviews import add_folder
from text_costs import padding, served, teachers
from text_costs.setting import Setting

PAGE = Path(__file__).parent.parent / "docs" / "text-speed.md"


def padding_part(setting: Setting, page: Path) -> dict[str, bool]:
    found = padding.measure(setting)
    write_section(page, "padding", padding.section(setting, found))
    change = found.difference
    return {
        f"batches by length, epochs per hour at least {padding.LEAST} times: {found.ratio.text(2)}": (
            found.ratio.median >= padding.LEAST
        ),
        f"no difference in accuracy: {100 * change.low:+.1f} to {100 * change.high:+.1f} points": not change.clear,
    }


def teachers_part(setting: Setting, page: Path) -> dict[str, bool]:
    found = teachers.measure(setting)
    write_section(page, "teachers", teachers.section(setting, found))
    cached = found[teachers.CACHED]
    return {
        f"a cached teacher, at most {teachers.MOST} of the control's time: {cached.text(3)}": (
            cached.median <= teachers.MOST
        )
    }


def served_part(setting: Setting, page: Path) -> dict[str, bool]:
    found = served.measure(setting, sorted({1, torch.get_num_threads()}))
    write_section(page, "served", served.section(found))
    best = found.at_best(served.TRANSFORMER)
    checks = {
        f"2 layers in INT8, each with its best number of threads, at least {served.LEAST_TRANSFORMER} times faster: "
        f"{best:.1f}": best >= served.LEAST_TRANSFORMER
    }
    for threads in found.milliseconds:
        two = found.faster(threads, served.TRANSFORMER)
        small = max(found.faster(threads, f"{name}, INT8") for name in ("BiLSTM", "TextCNN"))
        checks[f"2 layers in INT8, threads: {threads}, at least {served.LEAST_TRANSFORMER} times faster: {two:.1f}"] = (
            two >= served.LEAST_TRANSFORMER
        )
        checks[f"BiLSTM or TextCNN, threads: {threads}, at least {served.LEAST_SMALL} times faster: {small:.1f}"] = (
            small >= served.LEAST_SMALL
        )
    return checks


PARTS = {"padding": padding_part, "teachers": teachers_part, "served": served_part}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    add_folder(parser)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="a number, as in rows=512")
    given = parser.parse_args()
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    torch.set_num_threads(given.threads)
    numbers = {name: json.loads(value) for name, value in (one.split("=") for one in given.set)}
    setting = Setting(given.folder, **numbers)
    checks: dict[str, bool] = {}
    for name in given.parts or PARTS:
        checks |= PARTS[name](setting, given.page)
    conclude(checks)


if __name__ == "__main__":
    main()
