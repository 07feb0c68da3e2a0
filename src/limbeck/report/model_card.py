"""A run as a model card in Hugging Face's format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from limbeck.report.files import Run, read_run, write_text
from limbeck.report.formatting import bracket, count, finite, milliseconds, significant, size
from limbeck.report.metric_description import MetricDescription
from limbeck.report.results import Comparison, Estimate, ModelResult, Results, title

__all__ = ["write_model_card"]


def write_model_card(run: Path) -> Path:
    """Write README.md of a run: metadata for the hub, then what the model is, how it was made and how to use it.

    Args:
        run: a run folder that holds results.json, events.jsonl, recipe.yaml and environment.json.

    Returns:
        The path of the card, which is written whole or not at all.

    Raises:
        RunError: if a file is missing, unreadable or cannot be written; the message names it.
    """
    content = read_run(run)
    results = content.results
    parts = [
        _front_matter(content),
        _summary(results),
        _making(content),
        _figures(results),
        _usage(results),
        _limits(results),
        _reproduction(),
    ]
    return write_text(run / "README.md", "\n\n".join(filter(None, parts)) + "\n")


def _shipped(results: Results) -> str:
    """The model that the card is about: the exported one, else the student."""
    return "exported" if "exported" in results.models else "student"


def _front_matter(run: Run) -> str:
    results = run.results
    tags = ["limbeck", "knowledge-distillation", *(["onnx"] if results.export is not None else [])]
    task = results.task_description.pipeline_tag or results.task.replace("_", "-")
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
    described = {name: results.metrics[name] for name in model.metrics}
    return [
        {"type": name, "name": metric.title, **metric.hub, "value": model.metric(name).value}
        for name, metric in described.items()
        if finite(model.metric(name).value) is not None
    ]


def _summary(results: Results) -> str:
    task = results.task_description
    return (
        f"# {_plain(results.recipe)}: student\n\n"
        f"A model for {_plain(results.task_title)}, trained by knowledge distillation with limbeck.\n\n"
        f"- Input: {_plain(task.input)}\n"
        f"- Output: {_plain(task.output)}\n\n"
        f"{_plain(results.verdict)}"
    ).rstrip()


def _making(run: Run) -> str:
    """The sections of the recipe that the model comes from, and the labels that were spent on it."""
    recipe = run.recipe
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
    fitted = "\n".join(f"- {_plain(sentence)}" for sentence in run.results.fitted)
    paragraphs = ["## How it was made", _labels(run.results), fitted, _fenced(text, "yaml")]
    return "\n\n".join(filter(None, paragraphs))


def _labels(results: Results) -> str:
    """The labels that the student saw, and its control."""
    budget = {kind: count(number) for kind, number in results.label_budget.items()}
    labels = [f"{budget.pop(kind)} {kind} labels" for kind in ("training", "validation") if kind in budget]
    unlabelled = budget.pop("unlabelled", None)
    sentences = [f"The student was trained with {' and '.join(labels)}."] if labels else []
    sentences += [] if unlabelled is None else [f"It also read {unlabelled} training rows without labels."]
    others = ", ".join(f"{number} {_plain(kind.replace('_', ' '))}" for kind, number in budget.items())
    sentences += [f"In addition: {others}."] if others else []
    if "control" in results.models:
        sentences.append("The control is the same student trained without a teacher.")
    return " ".join(sentences)


def _figures(results: Results) -> str:
    models = results.models
    head = ["", *(_plain(title(name)) for name in models)]
    rows = [_metric_row(results.metrics[name], name, results) for name in results.measured]
    rows += [
        ["parameters", *(count(model.cost.parameters) for model in models.values())],
        ["file size", *(size(model.cost.bytes) for model in models.values())],
        ["latency, one row", *(_latency(model) for model in models.values())],
    ]
    table = "\n".join(_row(row) for row in [head, ["---"] + ["---:"] * len(models), *rows])
    seeds = ", ".join(map(str, results.seeds))
    parts = [
        "## Results",
        f"Measured on {count(results.test_rows)} test rows. The 95% intervals come from the bootstrap over test rows "
        f"and, for models trained more than once, from Student's t over the seeds ({seeds}). "
        "Latency is the median with its quartiles.",
        table,
    ]
    if results.comparisons:
        parts.append("Paired differences on the same test rows:")
        parts.append("\n".join(_difference(results.metrics[c.metric], c) for c in results.comparisons))
    return "\n\n".join(parts)


def _metric_row(metric: MetricDescription, name: str, results: Results) -> list[str]:
    estimates = (_estimate(metric, model.metric(name)) for model in results.models.values())
    return [f"{_plain(metric.title)} ({metric.direction})", *estimates]


def _difference(metric: MetricDescription, comparison: Comparison) -> str:
    ends = bracket(comparison.low, comparison.high, lambda end: metric.difference(end, unit=False))
    value = f"{_plain(metric.difference(comparison.difference))} {ends}".rstrip()
    better = metric.better(comparison.low, comparison.high)
    conclusion = "not clear" if better is None else f"{title(comparison.a if better else comparison.b)} is better"
    pair = f"{title(comparison.a)} − {title(comparison.b)}, {metric.title}"
    return f"- {_plain(pair)}: {value}, {_plain(conclusion)}"


def _estimate(metric: MetricDescription, estimate: Estimate) -> str:
    ends = bracket(estimate.low, estimate.high, lambda end: metric.text(end, unit=False))
    return f"{_plain(metric.text(estimate.value))} {ends}".rstrip()


def _latency(model: ModelResult) -> str:
    latency = model.cost.latency_ms
    if latency is None:
        return milliseconds(None)
    quartiles = bracket(latency.low, latency.high, lambda end: milliseconds(end, unit=False))
    return f"{milliseconds(latency.median)} {quartiles}".rstrip()


def _usage(results: Results) -> str:
    task, export = results.task_description, results.export
    if export is None or not (task.snippet or task.command):
        return ""
    parts = ["## How to use it", f"The model is `{export.file}`. Run the code in the folder of this card."]
    if task.snippet:
        parts.append(_fenced(task.snippet.rstrip(), "python"))
    if task.command:
        parts += ["With limbeck installed, the command line does the same:", _fenced(task.command, "sh")]
    return "\n\n".join(parts)


def _limits(results: Results) -> str:
    lines = [
        f"The results hold for this test split of {count(results.test_rows)} rows. No other data was measured.",
        *map(_plain, results.task_description.limits),
        _seeds_limit(results),
    ]
    export = results.export
    int8 = None if export is None else export.int8
    if export is not None:
        lines.append(
            f"The outputs of the exported file differ from those of the PyTorch model by at most "
            f"{significant(export.max_difference)}, on {count(export.rows)} rows."
        )
    if int8 is not None:
        lines.append(
            f"The probabilities of `{int8.file}`, with weights in 8 bits, differ from those of the PyTorch model by at "
            f"most {significant(int8.max_probability_difference)}, on {count(int8.rows)} rows."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _seeds_limit(results: Results) -> str:
    repeated = " and ".join(title(name) for name, model in results.models.items() if len(model.seeds) > 1)
    if not repeated:
        return "One seed was trained, so the variation between trainings was not measured."
    means = f"The values of {_plain(repeated)} are means over {len(results.seeds)} seeds"
    if results.export is None:
        return f"{means}."
    return f"{means}; the exported file holds the {_plain(title(results.export.model))} of seed {results.seeds[0]}."


def _reproduction() -> str:
    return (
        "## How to reproduce it\n\n"
        "`recipe.yaml` in this folder holds every setting, `environment.json` the versions of the packages.\n\n"
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
