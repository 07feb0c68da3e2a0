"""The caches of one run: built where they are not there yet, and opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from limbeck.cache import BuildResult, CachedRows, CacheReader, Manifest, as_kept, build, fingerprint_model, placed
from limbeck.core import map_tensors, resolve
from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.model_io import ModelIO
from limbeck.recipes.model_sources import ModelSpec, TeacherContext, base_teacher
from limbeck.recipes.recipe import Recipe
from limbeck.runs.cache.plan import CachePlan
from limbeck.runs.cache.query import TeacherQuery
from limbeck.runs.inputs import alone
from limbeck.runs.plan import TrainingSpec
from limbeck.runs.stages import StageRunner
from limbeck.tasks import BatchSource, Task
from limbeck.training.progress import Counting

__all__ = ["Cache", "Caches", "cached_outputs"]

# What the recipe does not ask for must not fill the disk.
_most_bytes = 2**32
_cache_dir = ".caches"


@dataclass(frozen=True)
class Cache:
    """One teacher's cache: where it lies, what it holds, and whom to ask for it."""

    teacher: str
    folder: Path
    manifest: Manifest
    query: TeacherQuery

    @property
    def summary(self) -> str:
        """What it is, in one line."""
        manifest = self.manifest
        fields = ", ".join(f"{name} as {type(field.codec).__name__.lower()}" for name, field in manifest.fields.items())
        rows = f"{manifest.views} views of {manifest.rows:,} rows" if manifest.views > 1 else f"{manifest.rows:,} rows"
        return f"{self.teacher}'s {fields} for {rows}, {manifest.entry_bytes} bytes each, in {self.folder}"

    def build(self, part: tuple[int, int] = (0, 1), progress: Callable[[int, int], None] | None = None) -> BuildResult:
        """Write what is not there yet, or is damaged.

        Raises:
            CacheError: if the folder holds another cache, with what differs, or a shard cannot be written.
        """
        with self.query.in_place():
            return build(self.folder, self.manifest, self.query, part=part, progress=progress)


_on_policy = "the student writes the batches"


class Caches:
    """The caches of one run, each built when a training first needs it.

    Args:
        recipe: parsed.
        task: with the data loaded.
        plan: which teachers are cached.
        runner: of the stages of the run; the caches are written next to them.
    """

    def __init__(self, recipe: Recipe, task: Task, plan: CachePlan, runner: StageRunner) -> None:
        self.recipe = recipe
        self.task = task
        self.plan = plan
        self.runner = runner
        self._open: dict[tuple[str, torch.dtype], CacheReader | None] = {}

    def open(
        self, training: TrainingSpec, models: Mapping[str, nn.Module], precision: torch.dtype
    ) -> CachedRows | None:
        """The caches that a training reads, built by all processes side by side; None without any.

        Args:
            training: the training that reads them.
            models: its teachers with weights, by name.
            precision: in which it computes, and its teachers with it.

        Raises:
            CacheError: if one cannot be built.
            RecipeError: if the recipe asks for one of outputs that cannot be kept.
        """
        stores = {}
        for name in self.plan.cached_in(training, self.recipe.models):
            if (name, precision) not in self._open:
                self._open[name, precision] = self._ready(name, training, models[name], precision)
            store = self._open[name, precision]
            if store is not None:
                stores[name] = store
        return CachedRows(stores) if stores else None

    def _ready(self, name: str, training: TrainingSpec, model: nn.Module, precision: torch.dtype) -> CacheReader | None:
        cache, note = self.cache(name, training, model, precision), self.runner.progress.note
        if isinstance(cache, str):
            note(f"cache: {name} stays live: {cache}")
            return None
        accelerator = self.runner.accelerator
        counting = Counting(f"cache: {name}, entries", note)
        built = cache.build((accelerator.process_index, accelerator.num_processes), counting)
        accelerator.wait_for_everyone()
        note(f"cache: {cache.summary}: {f'wrote {len(built.written)} shards' if built.written else 'built before'}")
        return CacheReader(cache.folder)

    def cache(self, name: str, training: TrainingSpec, model: nn.Module, precision: torch.dtype) -> Cache | str:
        """A teacher's cache; or why it has none, where the recipe does not ask for it.

        Raises:
            RecipeError: if the recipe asks for it, and its outputs cannot be kept.
        """
        specs, task = alone(self.recipe.models, self.task, name)
        source, _ = task.batches(
            training.rows,
            batch_size=training.train.batch_size,
            seed=training.train.seed,
            rank=0,
            world=1,
            views=self.plan.views_of(training, task),
        )
        if source.reads_student and self.plan.requested:
            raise RecipeError.at("cache", f"models.{name} cannot be cached: {_on_policy}", code="unsupported")
        if source.reads_student:
            return _on_policy
        source = cast(BatchSource, source)
        query, entries = self._query(name, specs, model, source, precision), source.entries
        first = torch.zeros(1, dtype=torch.int64)
        with query.in_place():
            outputs = query(first, first)
        try:
            fields = self.plan.fields(outputs)
        except ArgumentError as error:
            if self.plan.requested:
                raise RecipeError.at("cache", f"models.{name}: {error}", code=error.code) from error
            return str(error)
        manifest = Manifest(
            fields,
            rows=entries,
            views=self.plan.views or 1,
            fingerprints=self._fingerprints(name, training, model, precision),
            batch_size=self.plan.settings.batch_size,
        )
        size = manifest.entries * manifest.entry_bytes
        if not self.plan.requested and size > _most_bytes:
            return f"it would take {size / 2**30:.1f} GiB; ask for it with the section cache"
        return Cache(name, self._folder(name, manifest), manifest, query)

    def _query(
        self,
        name: str,
        specs: Mapping[str, ModelSpec],
        model: nn.Module,
        source: BatchSource,
        precision: torch.dtype,
    ) -> TeacherQuery:
        """A teacher as it is asked for the entries of its cache."""
        return TeacherQuery(
            base_teacher(specs[name], TeacherContext(specs=specs, classes=self.task.names, models={name: model})),
            source.query,
            self.plan.outputs[name],
            device=self.runner.accelerator.device,
            precision=precision,
        )

    def _fingerprints(
        self, name: str, training: TrainingSpec, model: nn.Module, precision: torch.dtype
    ) -> dict[str, Any]:
        specs, task = alone(self.recipe.models, self.task, name)
        spec, outputs = specs[name], self.plan.outputs[name]
        taps = {tap: path for tap, path in spec.taps.items() if any(tap in output.split(".") for output in outputs)}
        return {
            "teacher": fingerprint_model(model),
            "output": {"taps": taps, "inputs": spec.inputs, "call": (spec.io or ModelIO()).call},
            "data": task.views_key(training.rows, self.plan.views_of(training, task)),
            "precision": str(precision).removeprefix("torch."),
            "plugin": self.runner.plugin,
        }

    def _folder(self, name: str, manifest: Manifest) -> Path:
        folder = self.plan.settings.folder
        return self.runner.folder.path.parent / _cache_dir / manifest.key if folder is None else Path(folder) / name


def cached_outputs(
    plan: CachePlan,
    names: Iterable[str],
    recipe: Recipe,
    models: Mapping[str, nn.Module],
    batch: Mapping[str, Any],
) -> dict[str, Any]:
    """What caches would bring along with a batch; nothing is written.

    Raises:
        RecipeError: if an output cannot be kept.
    """
    found = {}
    mask_address = recipe.task_type.mask_address
    real = (
        torch.ones_like(batch["row"], dtype=torch.bool)
        if mask_address is None
        else resolve({"batch": batch}, mask_address)
    )
    for name in names:
        teacher = base_teacher(recipe.models[name], TeacherContext(specs=recipe.models, classes=(), models=models))
        query = TeacherQuery(teacher, lambda rows, views: (batch, real), plan.outputs[name], device=batch["row"].device)
        with query.in_place():
            outputs = query(batch["row"], batch["view"])
        try:
            values = as_kept(plan.fields(outputs), outputs)
            found[name] = map_tensors(values, placed, real.cpu())
        except ArgumentError as error:
            raise RecipeError.at("cache", f"models.{name}: {error}", code=error.code) from error
    return found
