"""The caches of one run: built where they are not there yet, and opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck import registry
from limbeck.cache import Built, CachedRows, Manifest, Store, as_kept, build, fingerprint_model, placed
from limbeck.core import at, map_tensors
from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.caching.asking import Asked
from limbeck.recipes.caching.plan import CachePlan
from limbeck.recipes.forms import Parts, bare
from limbeck.recipes.inputs import alone
from limbeck.recipes.lessons import Lesson
from limbeck.recipes.stages import Stages
from limbeck.tasks import Task
from limbeck.training.progress import Counting

__all__ = ["Cache", "Caches", "kept_of"]

# What the recipe does not ask for must not fill the disk.
_most_bytes = 2**32
_shared = ".caches"


@dataclass(frozen=True)
class Cache:
    """One teacher's cache: where it lies, what it holds, and whom to ask for it."""

    teacher: str
    folder: Path
    manifest: Manifest
    asked: Asked

    @property
    def told(self) -> str:
        """What it is, in one line."""
        manifest = self.manifest
        fields = ", ".join(f"{name} as {type(field.codec).__name__.lower()}" for name, field in manifest.fields.items())
        looks = f"{manifest.views} views of {manifest.rows:,} rows" if manifest.views > 1 else f"{manifest.rows:,} rows"
        return f"{self.teacher}'s {fields} for {looks}, {manifest.entry_bytes} bytes each, in {self.folder}"

    def build(self, part: tuple[int, int] = (0, 1), progress: Callable[[int, int], None] | None = None) -> Built:
        """Write what is not there yet, or is damaged.

        Raises:
            CacheError: if the folder holds another cache, with what differs, or a shard cannot be written.
        """
        with self.asked.in_place():
            return build(self.folder, self.manifest, self.asked, part=part, progress=progress)


class Caches:
    """The caches of one run, each built when a training first needs it.

    Args:
        recipe: as `resolve` gives it.
        task: with the data loaded.
        plan: which teachers are cached.
        stages: of the run; the caches lie beside them.
    """

    def __init__(self, recipe: Mapping[str, Any], task: Task, plan: CachePlan, stages: Stages) -> None:
        self.recipe = recipe
        self.task = task
        self.plan = plan
        self.stages = stages
        self._open: dict[tuple[str, torch.dtype], Store | None] = {}

    def open(self, lesson: Lesson, models: Mapping[str, nn.Module], precision: torch.dtype) -> CachedRows | None:
        """The caches that a training reads, built by all processes side by side; None without any.

        Args:
            lesson: the training.
            models: its teachers with weights, by name.
            precision: in which it computes, and its teachers with it.

        Raises:
            CacheError: if one cannot be built.
            RecipeError: if the recipe asks for one of outputs that cannot be kept.
        """
        stores = {}
        for name in self.plan.cached_in(lesson, self.recipe):
            if (name, precision) not in self._open:
                self._open[name, precision] = self._ready(name, lesson, models[name], precision)
            store = self._open[name, precision]
            if store is not None:
                stores[name] = store
        return CachedRows(stores) if stores else None

    def _ready(self, name: str, lesson: Lesson, model: nn.Module, precision: torch.dtype) -> Store | None:
        cache, note = self.cache(name, lesson, model, precision), self.stages.progress.note
        if isinstance(cache, str):
            note(f"cache: {name} stays live: {cache}")
            return None
        accelerator = self.stages.accelerator
        counting = Counting(f"cache: {name}, entries", note)
        built = cache.build((accelerator.process_index, accelerator.num_processes), counting)
        accelerator.wait_for_everyone()
        note(f"cache: {cache.told}: {f'wrote {len(built.written)} shards' if built.written else 'built before'}")
        return Store(cache.folder)

    def cache(self, name: str, lesson: Lesson, model: nn.Module, precision: torch.dtype) -> Cache | str:
        """A teacher's cache; or why it has none, where the recipe does not ask for it.

        Raises:
            RecipeError: if the recipe asks for it, and its outputs cannot be kept.
        """
        asked, entries = self._asked(name, lesson, model, precision)
        first = torch.zeros(1, dtype=torch.int64)
        with asked.in_place():
            said = asked(first, first)
        try:
            fields = self.plan.fields(said)
        except ArgumentError as error:
            if self.plan.asked:
                raise RecipeError(f"cache: models.{name}: {error}") from error
            return str(error)
        manifest = Manifest(
            fields,
            rows=entries,
            views=self.plan.views or 1,
            fingerprints=self._fingerprints(name, lesson, model, precision),
            batch_size=self.plan.settings.batch_size,
        )
        size = manifest.entries * manifest.entry_bytes
        if not self.plan.asked and size > _most_bytes:
            return f"it would take {size / 2**30:.1f} GiB; ask for it with the section cache"
        return Cache(name, self._folder(name, manifest), manifest, asked)

    def _asked(self, name: str, lesson: Lesson, model: nn.Module, precision: torch.dtype) -> tuple[Asked, int]:
        """A teacher as it is asked, and for how many entries."""
        recipe, task = alone(self.recipe, self.task, name)
        train, views = lesson.train, self.plan.views_of(lesson, task)
        source, _ = task.batches(
            lesson.rows, batch_size=train["batch_size"], seed=train["seed"], rank=0, world=1, views=views
        )
        asked = Asked(
            bare(name, Parts(recipe=recipe, classes=task.classes, models={name: model})),
            source.asked,
            self.plan.outputs[name],
            device=self.stages.accelerator.device,
            precision=precision,
        )
        return asked, source.entries

    def _fingerprints(self, name: str, lesson: Lesson, model: nn.Module, precision: torch.dtype) -> dict[str, Any]:
        recipe, task = alone(self.recipe, self.task, name)
        spec = recipe["models"][name]
        outputs = self.plan.outputs[name]
        taps = {tap: path for tap, path in spec["taps"].items() if any(tap in output.split(".") for output in outputs)}
        return {
            "teacher": fingerprint_model(model),
            "speaks": {"taps": taps, "inputs": spec["inputs"], "call": spec["call"]},
            "data": task.looks_key(lesson.rows, self.plan.views_of(lesson, task)),
            "precision": str(precision).removeprefix("torch."),
            "plugin": self.stages.plugin,
        }

    def _folder(self, name: str, manifest: Manifest) -> Path:
        folder = self.plan.settings.folder
        return self.stages.folder.path.parent / _shared / manifest.key if folder is None else Path(folder) / name


def kept_of(
    plan: CachePlan,
    names: Iterable[str],
    recipe: Mapping[str, Any],
    models: Mapping[str, nn.Module],
    batch: Mapping[str, Any],
) -> dict[str, Any]:
    """What caches would bring along with a batch; nothing is written.

    Raises:
        RecipeError: if an output cannot be kept.
    """
    found = {}
    counted = registry.lookup("task", recipe["task"]).counted
    real = torch.ones_like(batch["row"], dtype=torch.bool) if counted is None else at({"batch": batch}, counted)
    for name in names:
        teacher = bare(name, Parts(recipe=recipe, classes=(), models=models))
        asked = Asked(teacher, lambda rows, views: (batch, real), plan.outputs[name], device=batch["row"].device)
        with asked.in_place():
            said = asked(batch["row"], batch["view"])
        try:
            kept = as_kept(plan.fields(said), said)
            found[name] = map_tensors(kept, placed, real.cpu())
        except ArgumentError as error:
            raise RecipeError(f"cache: models.{name}: {error}") from error
    return found
