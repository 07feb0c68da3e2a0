"""A run as a model card in Hugging Face's format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from limbeck.report.charts import difference_text
from limbeck.report.files import Run, read_run, write_text
from limbeck.report.formatting import bracket, count, finite, metric_text, metric_title, milliseconds, significant, size
from limbeck.report.inputs import Input
from limbeck.report.results import ModelResult, Results, title

__all__ = ["write_model_card"]

# What the hub calls a task, where it has another name for it.
_HUB_TASKS = {"masked_language_modelling": "fill-mask"}
_HUB_TYPES: dict[str, dict[str, Any]] = {
    f"{average}_f1": {"type": "f1", "args": {"average": average}} for average in ("macro", "micro")
}


def write_model_card(run: Path) -> Path:
    """Write README.md of a run: metadata for the hub, then what the model is, how it was made and how to use it.

    Args:
        run: a run folder that holds results.json, events.jsonl, recipe.yaml and environment.json.

    Returns:
        The path of the card, which is written whole or not at all.

    Raises:
        RunError: if a file is missing, unreadable or cannot be written; the message names it.
    """
    found = read_run(run)
    parts = [_front_matter(found), _summary(found.results), _making(found), _figures(found.results)]
    if found.results.export is not None and found.results.input is not None:
        parts.append(_usage(found.results.input, found.results.export.file))
    return write_text(run / "README.md", "\n\n".join([*parts, _limits(found), _reproduction()]) + "\n")


def _shipped(results: Results) -> str:
    """The model that the card is about: the exported one, else the student."""
    return "exported" if "exported" in results.models else "student"


def _front_matter(run: Run) -> str:
    results = run.results
    tags = ["limbeck", "knowledge-distillation", *(["onnx"] if results.export is not None else [])]
    task = _HUB_TASKS.get(results.task, results.task.replace("_", "-"))
    content: dict[str, Any] = {"library_name": "limbeck", "pipeline_tag": task, "tags": tags}
    metrics = _hub_metrics(results)
    if metrics:
        data = run.recipe.get("data")
        dataset = str(data.get("use", "unnamed")) if isinstance(data, Mapping) else "unnamed"
        entry = {
            "task": {"type": task},
            "dataset": {"name": dataset, "type": dataset, "split": "test"},
            "metrics": metrics,
        }
        content["model-index"] = [{"name": f"{results.recipe}-student", "results": [entry]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _hub_metrics(results: Results) -> list[dict[str, Any]]:
    model = results.models.get(_shipped(results), ModelResult())
    return [
        {"type": name, "name": metric_title(name), **_HUB_TYPES.get(name, {}), "value": estimate.value}
        for name, estimate in model.metrics.items()
        if finite(estimate.value) is not None
    ]


def _summary(results: Results) -> str:
    task = results.task.replace("_", " ")
    parts = [f"{count(len(results.classes))} classes"] if results.classes or results.input is None else []
    parts += [] if results.input is None else [results.input.described]
    return (
        f"# {_plain(results.recipe)}: student\n\n"
        f"A model for {_plain(task)} with {' and '.join(parts)}, "
        f"trained by knowledge distillation with limbeck.\n\n"
        f"{_plain(results.verdict)}"
    ).rstrip()


def _making(run: Run) -> str:
    """The parts of the recipe that say where the model comes from, and the labels that were spent on it."""
    recipe, budget = run.recipe, run.results.label_budget
    models = recipe.get("models")
    named = models if isinstance(models, Mapping) else {}
    excerpt = {
        "data": recipe.get("data"),
        **{name: named.get(name, recipe.get(name)) for name in run.results.teachers},
        "student": named.get("student", recipe.get("student")),
        "objective": recipe.get("objective"),
        "train": recipe.get("train"),
    }
    known = {key: value for key, value in excerpt.items() if value is not None}
    text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True).rstrip()
    copies = f" Beside them: {count(budget['copies'])} copies in other words." if "copies" in budget else ""
    control = " The control is the same student trained without a teacher." if "control" in run.results.models else ""
    return (
        "## How it was made\n\n"
        f"Label budget of the student: {count(budget.get('training'))} training labels, "
        f"{count(budget.get('validation'))} validation labels; "
        f"{count(budget.get('unlabelled'))} further training rows were used without labels.{copies}{control}\n\n"
        f"{_fenced(text, 'yaml')}"
    )


def _figures(results: Results) -> str:
    names = list(dict.fromkeys(name for model in results.models.values() for name in model.metrics))
    head = ["", *(_plain(title(name)) for name in results.models)]
    rows = [
        [_plain(metric_title(name)), *(_estimate(model, name) for model in results.models.values())] for name in names
    ]
    rows += [
        ["parameters", *(count(model.cost.parameters) for model in results.models.values())],
        ["file", *(size(model.cost.bytes) for model in results.models.values())],
        ["latency, one row", *(_latency(model) for model in results.models.values())],
    ]
    table = "\n".join(_row(row) for row in [head, ["---"] + ["---:"] * len(results.models), *rows])
    seeds = ", ".join(map(str, results.seeds))
    parts = [
        "## Figures\n\n"
        f"On {count(results.test_rows)} test rows, with 95% intervals: test rows by the bootstrap, seeds by "
        f"Student's t where a model was trained more than once (seeds: {seeds}). "
        "Latency is the median with its quartiles.",
        table,
    ]
    if results.comparisons:
        parts.append("Paired differences on the same test rows:")
        parts.append("\n".join(_difference(c.a, c.b, c.metric, difference_text(c)) for c in results.comparisons))
    return "\n\n".join(parts)


def _difference(a: str, b: str, metric: str, figures: str) -> str:
    return f"- {_plain(title(a))} − {_plain(title(b))}, {_plain(metric_title(metric))}: {figures}"


def _estimate(model: ModelResult, name: str) -> str:
    estimate = model.metric(name)
    ends = bracket(estimate.low, estimate.high, lambda end: metric_text(name, end, unit=False))
    return f"{metric_text(name, estimate.value)} {ends}".rstrip()


def _latency(model: ModelResult) -> str:
    latency = model.cost.latency_ms
    if latency is None:
        return milliseconds(None)
    quartiles = bracket(latency.low, latency.high, lambda end: milliseconds(end, unit=False))
    return f"{milliseconds(latency.median)} {quartiles}".rstrip()


def _usage(inputs: Input, file: str) -> str:
    code = f"""\
import json
from pathlib import Path

{inputs.imports}

session = onnxruntime.InferenceSession({json.dumps(file)})
classes = json.loads(Path("results.json").read_text(encoding="utf-8"))["classes"]

{inputs.code}"""
    return (
        "## How to use it\n\n"
        f"The file `{file}` takes {inputs.taken}, and gives `logits`, one per class for each {inputs.judged}. "
        "The batch may have any size. Run this in the folder of this card:\n\n"
        f"{_fenced(code, 'python')}"
    )


def _limits(run: Run) -> str:
    results = run.results
    lines = [
        f"- The figures hold for this test split of {count(results.test_rows)} rows. Other data was not measured.",
    ]
    if results.several:
        lines.append("- The model says yes or no to each class by itself; a row gets any number of them, or none.")
    elif results.classes:
        lines.append(
            f"- The model gives one of its classes for every {results.judged}; it has no answer for a "
            f"{results.judged} that belongs to none."
        )
    repeated = " and ".join(title(name) for name, model in results.models.items() if len(model.seeds) > 1)
    if repeated:
        lines.append(
            f"- The figures of {_plain(repeated)} are means over {len(results.seeds)} seeds; "
            f"the exported file holds the {_exported(results)} of seed {results.seeds[0]}."
        )
    else:
        lines.append("- One seed was trained: how much the figures move from training to training was not measured.")
    export = results.export
    if export is not None:
        lines.append(
            f"- The exported file differs from the PyTorch model by at most {significant(export.max_difference)} "
            f"in its logits, on {count(export.rows)} rows."
        )
    if export is not None and export.int8 is not None:
        lines.append(
            f"- A probability of `{export.int8.file}`, with weights in 8 bits, differs from the PyTorch model's by at "
            f"most {significant(export.int8.max_probability_difference)}, on {count(export.int8.rows)} rows."
        )
    return "## Limits\n\n" + "\n".join(lines)


def _exported(results: Results) -> str:
    return "student" if results.export is None else title(results.export.model)


def _reproduction() -> str:
    return (
        "## How to reproduce it\n\n"
        "`recipe.yaml` in this folder holds every setting, `environment.json` the versions it ran with.\n\n"
        f"{_fenced('limbeck run recipe.yaml', 'sh')}"
    )


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(content: str) -> str:
    """Text that Markdown shows as it stands."""
    line = " ".join(content.split())
    for mark in "\\`*_[]<>|#~":
        line = line.replace(mark, f"\\{mark}")
    return line


def _fenced(content: str, language: str) -> str:
    # A fence longer than any run of backticks inside cannot be closed from inside.
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", content)), 0)
    return f"{fence}{language}\n{content}\n{fence}"
