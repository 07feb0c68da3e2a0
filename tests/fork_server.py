"""A process that has imported what it was told, and forks children that run programs.

    python fork_server.py MODULE...

A job is one line of JSON on standard input, and the exit codes of its programs one line on standard output. No thread
may have been started before a fork, so nothing is computed here; the client sets OMP_NUM_THREADS.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any


def run(program: dict[str, Any]) -> int:
    """In a child: the exit code of the program."""
    for stream, file in ((0, os.devnull), (1, program["out"]), (2, program["err"])):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600) if stream else os.open(file, os.O_RDONLY)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    # One that hangs is killed, as subprocess.run does it.
    signal.alarm(300)
    os.environ.clear()
    os.environ.update(program["environment"])
    os.chdir(program["folder"])
    sys.path[:], sys.argv[:] = program["path"], program["argv"]
    try:
        exec(compile(program["code"], "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def child(program: dict[str, Any]) -> None:
    code = 1
    try:
        code = run(program)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    # What is here already need not be looked at by every child's collector.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        children = []
        for program in json.loads(line):
            children.append(os.fork())
            if not children[-1]:
                child(program)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in children]
        print(json.dumps(codes), flush=True)
    # Not the interpreter's own end: frozen objects look like leaks to it.
    os._exit(0)


if __name__ == "__main__":
    main()
