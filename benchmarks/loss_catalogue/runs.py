"""Students that are trained and judged, each once: what is in the ledger is not trained again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from limbeck.errors import DivergedError
from limbeck.files import atomic, canonical_hash, write_text
from loss_catalogue.bench import Bench, Place
from loss_catalogue.settings import SETTINGS
from loss_catalogue.study import Study
from loss_catalogue.training import logits_of, train

__all__ = ["Ledger", "Record", "Run", "execute"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One student: of which method, with which numbers, and judged on which rows."""

    setting: str
    method: str
    scale: float
    rate: float
    seed: int
    rows: Literal["validation", "test"]

    def key(self, study: Study) -> str:
        """A hash of all that decides the outcome, but for the code."""
        method = next(one for one in SETTINGS[self.setting].methods if one.name == self.method)
        return canonical_hash([asdict(self), study.of_one_run(), method.identity])[:16]


class Ledger:
    """A file with one line of JSON for every student; the logits of test rows lie in files beside it."""

    def __init__(self, work: Path) -> None:
        self.file = work / "runs.jsonl"
        self.logits = work / "logits"
        self.logits.mkdir(parents=True, exist_ok=True)
        text = self.file.read_text(encoding="utf-8") if self.file.is_file() else ""
        whole, _, cut = text.rpartition("\n")
        if cut:  # stopped while it wrote: the next line must not go on from there
            write_text(self.file, f"{whole}\n" if whole else "")
        self.records: dict[str, Record] = {record["key"]: record for record in map(json.loads, whole.splitlines())}

    def add(self, record: Record) -> None:
        """Append a line, in one write."""
        with self.file.open("ab") as file:
            file.write((json.dumps(record) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self.records[record["key"]] = record


def execute(runs: Sequence[Run], study: Study, place: Place, processes: int, ledger: Ledger) -> None:
    """Train and judge all that are not in the ledger, and enter them as they end."""
    todo = [run for run in runs if run.key(study) not in ledger.records]
    started = time.monotonic()
    for number, record in enumerate(_performed(todo, study, place, processes), start=1):
        ledger.add(record)
        left = (time.monotonic() - started) / number * (len(todo) - number) / 60
        told = record["diverged"] or f"{record['accuracy']:.4f}"
        name = f"{record['setting']} {record['method']} x{record['scale']:g} seed {record['seed']} {record['rows']}"
        print(f"{number}/{len(todo)} {name}: {told} ({record['seconds']:.1f} s, {left:.0f} min left)", flush=True)


def _performed(todo: Sequence[Run], study: Study, place: Place, processes: int) -> Iterator[Record]:
    if processes == 1 or len(todo) < 2:
        yield from (_perform(run, study, place) for run in todo)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
        for done in as_completed(pool.submit(_perform, run, study, place) for run in todo):
            yield done.result()


def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def _bench(setting: str, study: Study, place: Place) -> Bench:
    return Bench(setting, study, place)


def _perform(run: Run, study: Study, place: Place) -> Record:
    bench = _bench(run.setting, study, place)
    method = next(one for one in bench.setting.methods if one.name == run.method)
    started, key = time.monotonic(), run.key(study)
    record: Record = {"key": key, **asdict(run), "accuracy": None, "diverged": None}
    data = bench.rows.validation if run.rows == "validation" else bench.rows.test
    try:
        distiller = bench.distiller(method, run.scale, run.seed)
        train(
            distiller,
            bench.batches(bench.rows.train, study.epochs, run.seed),
            bench.steps(bench.rows.train, study.epochs),
            run.rate,
        )
        logits = logits_of(distiller.students["student"].model, data, bench.device)
    except DivergedError as error:
        record["diverged"] = str(error)
    else:
        record["accuracy"] = float((logits.argmax(1) == data.target.numpy()).mean())
        if run.rows == "test":
            _keep(place.work / "logits" / f"{key}.npy", logits)
    return {**record, "seconds": time.monotonic() - started}


def _keep(file: Path, logits: np.ndarray) -> None:
    with atomic(file) as beside, beside.open("wb") as opened:
        np.save(opened, logits)
