"""Golden runs: what recipes leave at tiny size, recorded before a change of the code and compared after it.

    python benchmarks/golden.py record FOLDER [CASE...]    three minutes on one core
    python benchmarks/golden.py compare OLD NEW

`record` runs every case with the limbeck that Python imports, each in a process of its own and in one thread, and
writes FOLDER/CASE.json: the resolved recipe, logged losses and terms, digests of weights and of the exported file's
outputs, and results.json without costs, sizes and times. `compare` prints a line for each case and each difference,
and exits with 1 if there is any. Old values must be equal to the bit, the ends of intervals within 1e-9; new keys are
no difference. Both recordings must come from one machine and the same versions of PyTorch and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from golden_runs.comparison import differences

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def record(folder: Path, names: list[str]) -> int:
    """Run the cases; the exit code, 1 if one of them failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        file = (folder / f"{name}.json").resolve()
        command = [sys.executable, str(Path(__file__).resolve()), "run", name, str(file)]
        with tempfile.TemporaryDirectory() as work:
            done = subprocess.run(command, cwd=work, env={**os.environ, **ONE_THREAD}, check=False)
        print(f"{name}: {'recorded' if done.returncode == 0 else 'failed'}", flush=True)
        if done.returncode != 0:
            failed.append(name)
    return 1 if failed else 0


def run_case(name: str, file: Path) -> None:
    """Run one case in the current folder and write its record."""
    import torch

    torch.set_num_threads(1)

    from golden_runs.cases import CASES
    from golden_runs.recording import record_run

    import limbeck

    case, work = CASES[name], Path.cwd()
    case.prepare()
    folder = limbeck.run(case.recipe, overrides=case.all_overrides, output=work / "runs" / name)
    file.write_text(json.dumps(record_run(folder, work), indent=1), encoding="utf-8")


def compare(old: Path, new: Path) -> int:
    """Print the differences of two recordings; the exit code, 1 if there is any."""
    files = sorted(old.glob("*.json"))
    if not files:
        print(f"{old} has no recording; make one: python benchmarks/golden.py record {old}")
        return 1
    code = 0
    for file in files:
        other = new / file.name
        lines = list(differences(_read(file), _read(other))) if other.exists() else [f"{other} is missing"]
        print(f"{file.stem}: {len(lines) or 'no'} difference{'' if len(lines) == 1 else 's'}")
        for line in lines:
            print(f"  {line}")
        code = max(code, int(bool(lines)))
    return code


def _read(file: Path) -> dict[str, dict[str, object]]:
    return json.loads(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_record = commands.add_parser("record", help="run the cases into a folder")
    of_record.add_argument("folder", type=Path)
    of_record.add_argument("cases", nargs="*")
    of_compare = commands.add_parser("compare", help="print what differs")
    of_compare.add_argument("old", type=Path)
    of_compare.add_argument("new", type=Path)
    of_run = commands.add_parser("run", help="one case, in the current folder and process")
    of_run.add_argument("case")
    of_run.add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        from golden_runs.cases import CASES

        return record(arguments.folder, arguments.cases or list(CASES))
    if arguments.command == "run":
        run_case(arguments.case, arguments.file)
        return 0
    return compare(arguments.old, arguments.new)


if __name__ == "__main__":
    sys.exit(main())
