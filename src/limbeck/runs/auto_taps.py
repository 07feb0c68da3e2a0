"""Settings that a recipe derives from its models: `taps: auto`, `taps: attention`, and numbers of heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from limbeck.core import attention_taps, map_rows, resolve
from limbeck.errors import RecipeError
from limbeck.layers.match import Pair, Similarity, features, pairs, similarity, words_of
from limbeck.layers.trace import Layer, Trace, stages, trace
from limbeck.models.network import network
from limbeck.recipes.model_io import ATTENTION, AUTO
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.options import construct
from limbeck.recipes.recipe import Recipe
from limbeck.runs.attention_heads import leaves_open, with_heads
from limbeck.runs.models import Models
from limbeck.tasks import Batch, Inputs, Task

__all__ = ["SAMPLE", "Choice", "Match", "build_models", "choose_taps", "unmatched_reason", "with_taps"]

# Rows that similarity is computed from.
SAMPLE = 128
# The graph of a forward is the same for any number of rows.
_traced_rows = 2
_at_most = 6


@dataclass(frozen=True)
class Match:
    """The layers of one model that belong to those of another.

    Args:
        anchor: the model whose layers are given.
        model: the one whose layers are sought.
        pairs: tap -> pair.
        untrusted: why similarity has decided nothing; empty if it has.
    """

    anchor: str
    model: str
    pairs: Mapping[str, Pair]
    untrusted: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What was chosen and why."""
        for name, pair in self.pairs.items():
            yield f"{name}: {self.anchor} {pair.first.path}, {self.model} {pair.second.path} ({pair.reason})"
        if self.untrusted:
            yield f"{' and '.join(self.untrusted)}: depth and shape have decided, not CKA"


@dataclass(frozen=True)
class Choice:
    """What `taps: auto` stands for: model -> tap -> path, and why."""

    taps: Mapping[str, Mapping[str, str]]
    matches: Sequence[Match]


def with_taps(recipe: Recipe, task: Task, objects: Mapping[str, nn.Module]) -> tuple[Recipe, list[str]]:
    """The recipe with modules in place of `taps: auto` or `attention`, with numbers of heads wherever a loss
    left them open, and notes about the choices.

    Raises:
        RecipeError: if a model has no layer that fits, no attention that is known, or heads that do not fit.
    """
    given = [spec.taps for spec in recipe.models.values()]
    if AUTO not in given and ATTENTION not in given and not leaves_open(recipe):
        return recipe, []
    made = build_models(recipe, task, objects)
    recipe, notes = with_heads(recipe, made)
    specs = {name: _attentive(spec, made) for name, spec in recipe.models.items()}
    recipe = replace(recipe, models=specs)
    if AUTO not in given:
        return recipe, notes
    apart = unmatched_reason(specs, made)
    if apart is not None:
        raise RecipeError.at(
            "taps", f"{AUTO}: {apart}; name modules, which `limbeck taps RECIPE` lists", code="unsupported"
        )
    choice = choose_taps(specs, made, task.sample(SAMPLE))
    for name, taps in choice.taps.items():
        if not taps:
            raise RecipeError.at(
                f"models.{name}.taps",
                f"{AUTO} finds no layer that fits; name modules, which `limbeck taps RECIPE` lists",
                code="unsupported",
            )
    chosen = {
        name: spec.with_io(taps=dict(choice.taps[name])) if name in choice.taps else spec
        for name, spec in specs.items()
    }
    return replace(recipe, models=chosen), [*notes, *(line for match in choice.matches for line in match.lines())]


def _attentive(spec: ModelSpec, models: Mapping[str, nn.Module]) -> ModelSpec:
    """The section with the queries, keys and values of all layers named, where it asks for them."""
    if spec.taps != ATTENTION:
        return spec
    found = construct(attention_taps, {"model": network(models[spec.name])[0]}, path=f"{spec.path}.taps")
    return spec.with_io(taps={"query": found.query, "key": found.key, "value": found.value})


def build_models(recipe: Recipe, task: Task, objects: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The models of a recipe that have weights of their own, before training.

    Raises:
        LimbeckError: if one cannot be built, or does not fit the task.
    """
    found = Models(recipe.models, task, objects)
    models = {name: found.initial(name, recipe.train.seed) for name in found.names}
    for name, model in models.items():
        task.check_model(f"models.{name}", found.for_task(name, model), recipe.models[name].inputs)
    return models


def unmatched_reason(specs: Mapping[str, ModelSpec], models: Mapping[str, nn.Module]) -> str | None:
    """Why layers of these models cannot be paired; None if they can. Positions of other tokens are other words."""
    anchor = _anchor(specs, models)
    for name in models:
        address, other = specs[anchor].inputs, specs[name].inputs
        if specs[name].taps == AUTO and other != address:
            return f"layers belong together where models read the same; {anchor} reads {address}, {name} reads {other}"
    return None


def choose_taps(specs: Mapping[str, ModelSpec], models: Mapping[str, nn.Module], batch: Batch) -> Choice:
    """The taps of every model whose section says `taps: auto`.

    One model is the anchor: the student, or where its own taps are open the first model that names some. The others get
    taps of the same names at the layers that fit. Where nobody names any, these are ``layer_1`` and so on: the
    student's layers at the ends of its stages, at most six.

    Args:
        specs: the sections of the recipe.
        models: those with weights of their own, before training, by section.
        batch: that they read, all at one address.
    """
    anchor = _anchor(specs, models)
    wanted = [name for name in models if specs[name].taps == AUTO]
    inputs: Inputs = resolve({"batch": batch}, specs[anchor].inputs)
    few: Inputs = map_rows(inputs, itemgetter(slice(_traced_rows)))
    traces = {name: trace(models[name], few) for name in dict.fromkeys((anchor, *wanted))}
    layers, names = _anchored(specs[anchor].taps, traces[anchor])
    given = features(models[anchor], layers, inputs)
    found: dict[str, list[Pair]] = {}
    for name in wanted:
        if name != anchor:
            theirs = stages(traces[name].trunk)
            alike = _similarity(given, features(models[name], theirs, inputs), words_of(inputs))
            found[name] = pairs(layers, theirs, alike, trusted=not _untrusted((anchor, name), specs))
    names = names or _numbered(layers, list(found.values()))
    taps = {name: {names[pair.first.path]: pair.second.path for pair in matched} for name, matched in found.items()}
    if anchor in wanted:
        taps[anchor] = {tap: path for path, tap in names.items()}
    matches = [
        Match(anchor, name, {names[pair.first.path]: pair for pair in matched}, _untrusted((anchor, name), specs))
        for name, matched in found.items()
    ]
    return Choice(taps, matches)


def _anchor(specs: Mapping[str, ModelSpec], models: Iterable[str]) -> str:
    naming = [name for name in models if specs[name].taps not in (AUTO, {})]
    return "student" if not naming or "student" in naming else naming[0]


def _anchored(taps: Any, traced: Trace) -> tuple[list[Layer], dict[str, str]]:
    """The anchor's layers, early to late, and the taps that name their paths; none yet where the recipe names none."""
    if taps in (AUTO, {}):
        return _evenly(stages(traced.trunk)), {}
    names = {path: tap for tap, path in taps.items() if isinstance(path, str) and path in traced.layers}
    return sorted((traced.layers[path] for path in names), key=lambda layer: layer.depth), names


def _evenly(layers: Sequence[Layer]) -> list[Layer]:
    count = min(len(layers), _at_most)
    return [layers[(number + 1) * len(layers) // count - 1] for number in range(count)]


def _numbered(layers: Sequence[Layer], found: Sequence[Sequence[Pair]]) -> dict[str, str]:
    """Names for those that some model has a layer for; for all, where there is no other model."""
    partnered = {pair.first.path for matched in found for pair in matched}
    kept = [layer.path for layer in layers if layer.path in partnered or not found]
    return {path: f"layer_{number}" for number, path in enumerate(kept, 1)}


def _similarity(first: Mapping[str, Tensor], second: Mapping[str, Tensor], words: Tensor | None) -> Similarity:
    @cache
    def alike(one: str, other: str) -> float:
        return similarity(first[one], second[other], words)

    return lambda one, other: alike(one.path, other.path)


def _untrusted(names: Iterable[str], specs: Mapping[str, ModelSpec]) -> tuple[str, ...]:
    """Why the weights that models have now do not say what they will compute."""
    found = []
    for name in names:
        spec = specs[name]
        if spec.train is not None or spec.co_training is not None:
            found.append(f"{name} has its weights from before its training in this run")
        elif spec.weighted.random_init(spec):
            found.append(f"{name} begins from random weights")
    return tuple(found)
