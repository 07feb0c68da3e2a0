"""Reading and building a cache, and what large vocabularies cost.

    python benchmarks/cache.py read       # rows per second at 100 classes, in random order
    python benchmarks/cache.py build      # time of a build over the time of its bare forward passes
    python benchmarks/cache.py curve      # the head's gradient against bytes per token, at 128k classes
    python benchmarks/cache.py epoch      # an epoch with a cached and with a live teacher; see cache_epoch.py

The curve is of a synthetic teacher: a head on Gaussian hidden states, with the classes' frequencies by Zipf's law. The
student has the same frequencies and a head that agrees with the teacher's in part. Both gradients are of kl_divergence
with respect to the student's head, summed over all tokens: with everything the teacher says, and with what was kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from cache_epoch import epoch
from sparse_targets import largest_topk, logit_gradient
from torch import Tensor

from limbeck.cache import CacheReader, Manifest, Sampled, build, fields_of
from limbeck.cache.builder import Outputs
from limbeck.cache.codecs import Codec
from limbeck.functional import SparseLogits
from limbeck.models import ResNet

ROWS, CLASSES, BATCH = 60_000, 100, 128
USUAL_SHARD = 1_024  # what the manifest chooses for 60,000 rows
FEWEST_ROWS, MOST_BUILD = 50_000, 1.05
VOCABULARY, WIDTH, AT_ONCE = 131_072, 64, 64
BYTES = (20, 30, 60, 120)


def read() -> None:
    """Rows per second of one process, in batches of random rows."""
    table = torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    views = torch.zeros(BATCH, dtype=torch.int64)
    print(
        f"{ROWS} rows of {CLASSES} classes, batches of {BATCH} random rows; at least {FEWEST_ROWS} rows/s from one map"
    )
    for codec in ("float32", "float16", "topk", "sampled"):
        for shard_entries, name in ((ROWS, "one map"), (0, "shards")):
            with tempfile.TemporaryDirectory() as folder:
                manifest = plan(lambda rows, _: {"logits": table[rows]}, codec, ROWS, shard_entries)
                build(Path(folder), manifest, lambda rows, _: {"logits": table[rows]})
                store = CacheReader(Path(folder))
                seconds = []
                for _ in range(5):
                    begin = time.perf_counter()
                    for start in range(0, ROWS - BATCH, BATCH):
                        store.read(order[start : start + BATCH], views)
                    seconds.append(time.perf_counter() - begin)
                print(f"{codec:>8}, {manifest.shards:2} {name}: {ROWS / median(seconds):10,.0f} rows/s")


def plan(outputs: Outputs, codec: str, rows: int, shard_entries: int = 0) -> Manifest:
    first = torch.zeros(1, dtype=torch.int64)
    return Manifest(
        fields_of(outputs(first, first), {"logits": {"use": codec}}), rows=rows, shard_entries=shard_entries
    )


def build_time(rows: int, turns: int = 9) -> None:
    """A build with each codec, and the same forward passes without it, in turns; the shortest of each counts."""
    images = torch.rand(rows, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    teacher = ResNet(channels=1, classes=CLASSES, size=(28, 28), width=16, depth=1).eval()
    outputs: Outputs = lambda rows, _: {"logits": teacher(images[rows])}  # noqa: E731
    print(f"{rows} images of 28 x 28, a ResNet of width 16, {CLASSES} classes; at most {MOST_BUILD} of the bare passes")
    print("of the time on the wall, and of the processor's, which other work on the machine touches less")
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("bare", "float32", "topk", "sampled")}
    for _ in range(turns):
        seconds["bare"].append(timed(lambda: forward(outputs, rows)))
        for codec in ("float32", "topk", "sampled"):
            manifest = plan(outputs, codec, rows, USUAL_SHARD)
            with tempfile.TemporaryDirectory() as folder:
                seconds[codec].append(timed(lambda: build(Path(folder), manifest, outputs)))  # noqa: B023
    wall, processor = (min(column) for column in zip(*seconds["bare"], strict=True))
    for codec in ("float32", "topk", "sampled"):
        found = [min(column) for column in zip(*seconds[codec], strict=True)]
        print(f"{codec:>8}: {found[0] / wall:.3f} {found[1] / processor:.3f}, bare {wall:.2f} s")


@torch.no_grad()
def forward(outputs: Outputs, rows: int) -> None:
    for numbers in torch.arange(rows).split(BATCH):
        outputs(numbers, torch.zeros_like(numbers))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


class Language:
    """A teacher's and a student's logits over a large vocabulary, and the student's hidden states."""

    def __init__(self, spread: float, agreement: float) -> None:
        draw = torch.Generator().manual_seed(0)
        frequency = -torch.arange(1.0, VOCABULARY + 1).log()
        self.frequency = frequency[torch.randperm(VOCABULARY, generator=draw)]
        shared, own = (torch.randn(WIDTH, VOCABULARY, generator=draw) * spread / WIDTH**0.5 for _ in range(2))
        self.teacher = shared
        self.student = agreement * shared + (1 - agreement**2) ** 0.5 * own

    def tokens(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        hidden = torch.randn(AT_ONCE, WIDTH, generator=torch.Generator().manual_seed(number + 1))
        return hidden, hidden @ self.student + self.frequency, hidden @ self.teacher + self.frequency


def curve(tokens: int, spread: float, agreement: float) -> None:
    """The cosine between the head's gradient by what was kept and that by everything."""
    language = Language(spread, agreement)
    found: dict[tuple[str, int], Tensor] = {}
    exact, masses, entropy = torch.zeros(WIDTH, VOCABULARY), dict.fromkeys(BYTES, 0.0), 0.0
    parts = tokens // AT_ONCE
    for number in range(parts):
        hidden, student, teacher = language.tokens(number)
        entropy += float(torch.distributions.Categorical(logits=teacher).entropy().mean()) / parts
        exact += head_gradient(hidden, student, teacher)
        for size in BYTES:
            for codec in (largest_topk(size, VOCABULARY), Sampled(size=size)):
                kept, mass = passed(codec, teacher, number * AT_ONCE)
                name = type(codec).__name__
                found[name, size] = found.get((name, size), 0) + head_gradient(hidden, student, kept)
                masses[size] += mass / parts if name == "TopK" else 0
            found["", size] = found.get(("", size), 0) + head_gradient(hidden, student, drawn(teacher, size, number))
    print(f"{VOCABULARY:,} classes, {tokens:,} tokens, {entropy:.2f} nats of entropy, agreement {agreement}")
    print("| bytes per token | classes | mass in `topk` | `topk` | `sampled` | drawn with replacement |")
    print("|---:|---:|---:|---:|---:|---:|")
    for size in BYTES:
        cosines = [float(torch.cosine_similarity(found[n, size].flatten(), exact.flatten(), dim=0)) for n in NAMES]
        row = [
            str(size),
            str(largest_topk(size, VOCABULARY).k),
            *(f"{value:.3f}" for value in (masses[size], *cosines)),
        ]
        print(f"| {' | '.join(row)} |")


NAMES = ("TopK", "Sampled", "")


def passed(codec: Codec, teacher: Tensor, first: int) -> tuple[Tensor | SparseLogits, float]:
    encoded = codec.encode(teacher, first)
    nothing = torch.zeros(len(teacher), dtype=torch.int64).numpy()
    return codec.decode(encoded.rows, encoded.rows[:1, :0], nothing, (VOCABULARY,)), encoded.mass


def drawn(teacher: Tensor, size: int, seed: int) -> SparseLogits:
    """As many draws with replacement as these bytes hold at 17 bits each, all with the same weight."""
    draws = 8 * size // 17
    draw = torch.Generator().manual_seed(seed)
    indices = torch.multinomial(teacher.softmax(-1), draws, replacement=True, generator=draw)
    return SparseLogits(indices, torch.zeros(len(teacher), draws), None, VOCABULARY)


def head_gradient(hidden: Tensor, student: Tensor, teacher: Tensor | SparseLogits) -> Tensor:
    return hidden.T @ logit_gradient(student, teacher)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("read", "build", "curve", "epoch"))
    parser.add_argument("--rows", type=int, help="images in build (default: 4096) and epoch (default: 60000)")
    parser.add_argument("--folder", type=Path, help="with the IDX files of Fashion-MNIST, for epoch")
    parser.add_argument("--tokens", type=int, default=1_024, help="tokens in curve (default: 1024)")
    parser.add_argument("--spread", type=float, default=2.5, help="deviation of logits at one frequency (default: 2.5)")
    parser.add_argument("--agreement", type=float, default=0.8, help="correlation of the two heads (default: 0.8)")
    options = parser.parse_args()
    if options.part == "read":
        read()
    elif options.part == "build":
        build_time(options.rows or 4_096)
    elif options.part == "epoch":
        epoch(options.folder, options.rows or 60_000)
    else:
        curve(options.tokens, options.spread, options.agreement)


if __name__ == "__main__":
    main()
