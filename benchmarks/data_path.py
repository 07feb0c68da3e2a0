"""What the data path costs beside training: an epoch of flipped and cropped batches against an epoch of a 20k CNN.

Both are timed in turns in one run, so that a change in the machine's load meets both:

    python benchmarks/data_path.py                                random images, 96 steps
    python benchmarks/data_path.py --folder FOLDER --steps 937    an epoch of IDX files (MNIST, Fashion-MNIST)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from statistics import median

import torch
from torch import nn

from limbeck.data import Augment, Batch, Batches, Idx, ImageSet, Plan
from limbeck.models import ResNet

ROWS, BATCH_SIZE, SEED = 60_000, 64, 0
TURN = 16
LIMIT = 0.05


def random_images() -> ImageSet:
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randint(0, 256, (ROWS, 1, 28, 28), dtype=torch.uint8, generator=generator)
    target = torch.randint(0, 10, (ROWS,), generator=generator)
    return ImageSet.from_tensor(pixels, target, tuple("0123456789"))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[Batch]) -> None:
    for batch in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch["inputs"]), batch["target"]).backward()
        optimizer.step()


def measure(data: ImageSet, steps: int) -> tuple[list[float], list[float]]:
    """Seconds per batch of the data path, and seconds per step of training, one number per turn."""
    plan = Plan(data.labelled, batch_size=BATCH_SIZE, seed=SEED)
    batches = Batches(data, plan, Augment(flip=True, crop=2), seed=SEED)
    channels, height, width = data.shape
    model = ResNet(channels=channels, classes=len(data.classes), size=(height, width), width=8, depth=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer, batches.iterate(0, 3))
    reading, training = [], []
    for start in range(0, steps, TURN):
        stop = min(start + TURN, steps)
        begin = time.perf_counter()
        ready = list(batches.iterate(start, stop))
        middle = time.perf_counter()
        train(model, optimizer, ready)
        end = time.perf_counter()
        reading.append((middle - begin) / (stop - start))
        training.append((end - middle) / (stop - start))
    return reading, training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="IDX files to read instead of random images")
    parser.add_argument("--steps", type=int, default=96, help="batches to time (default: 96)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    data = Idx(folder=options.folder).load()["train"] if options.folder else random_images()
    reading, training = measure(data, options.steps)
    epoch = len(data) // BATCH_SIZE
    ratios = [a / b for a, b in zip(reading, training, strict=True)]
    threads = torch.get_num_threads()
    print(f"{len(data)} images of {data.shape}, batch {BATCH_SIZE}, {options.steps} steps, {threads} threads")
    for name, seconds in (("data path", reading), ("training", training)):
        print(f"{name:>10}: {1e3 * median(seconds):7.3f} ms per batch, {epoch * median(seconds):6.2f} s per epoch")
    print(f"{'ratio':>10}: {sum(reading) / sum(training):.4f} (median of turns {median(ratios):.4f}; at most {LIMIT})")


if __name__ == "__main__":
    main()
