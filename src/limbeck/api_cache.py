"""The caches of a recipe in one call: `build`, `verify`, `info` and `remove`."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from limbeck.api import prepare_pipeline, start_accelerator
from limbeck.cache import CacheReader, Manifest
from limbeck.cache import verify as verify_store
from limbeck.errors import CacheError, RecipeError
from limbeck.files import canonical_hash, held, write_json
from limbeck.recipes.cache_settings import AUTO, parse_cache_settings
from limbeck.recipes.recipe import Recipe
from limbeck.runs.cache import Cache, CachePlan, plan_of
from limbeck.runs.pipeline import Pipeline
from limbeck.runs.stages import StageRunner
from limbeck.runs.training import StageTrainer
from limbeck.training.environment import describe
from limbeck.training.folder import RunFolder
from limbeck.training.progress import Counting, Progress, SilentProgress

__all__ = ["build", "described", "info", "refuse_faults", "remove", "verify"]

_runs = Path("runs")


def build(
    recipe: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    part: tuple[int, int] = (0, 1),
    plugin: str | Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Write what is missing or damaged of the caches of a recipe's teachers.

    Teachers that are not trained yet are trained first. Processes that were started together share the work; so do
    those with different parts.

    Args:
        recipe: a file, the name of a built-in recipe, or a mapping. What it caches by itself is cached here.
        overrides: values to set in the recipe, as ``cache.views=4``.
        output: where the caches lie, each under its teacher's name, as ``cache.folder``; by default in the folder that
            all runs under ``runs`` share.
        part: (i, n): this is the i-th of n groups of processes.
        plugin: a Python file that registers more losses, models or sources.
        progress: told what happens; silent by default.

    Returns:
        For each cache its `info`, and the shards that were ``written`` and ``mended``, by this process.

    Raises:
        LimbeckError: if the recipe cannot be run, nothing of it can be cached, a folder holds another cache, or a shard
            cannot be written.
    """
    accelerator = start_accelerator()
    progress = progress if progress is not None and accelerator.is_main_process else SilentProgress()
    world = accelerator.num_processes
    share = (part[0] * world + accelerator.process_index, part[1] * world)
    done = []
    for cache in _caches(recipe, accelerator, overrides, output, plugin, progress, train=True):
        progress.note(f"cache: {cache.summary}")
        built = cache.build(share, Counting(f"cache: {cache.teacher}, entries", progress.note))
        accelerator.wait_for_everyone()
        mended = {str(number): wrong for number, wrong in built.mended.items()}
        done.append({**_info(cache.folder, cache.teacher), "written": list(built.written), "mended": mended})
    return done


def verify(
    place: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    sample: int = 256,
    plugin: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Check caches: every shard's checksum; for a recipe also its fingerprints, and a sample of what its teachers say.

    Args:
        place: the folder of a cache or of several, or a recipe whose teachers are trained.
        overrides, output, plugin: as in `build`.
        sample: how many entries a teacher is asked for again.

    Returns:
        For each cache its ``teacher`` and ``folder``, the ``faults`` of its shards, how many entries were
        ``recomputed``, which of them are ``differing``, and the ``largest`` error of each field.

    Raises:
        CacheError: if there is no cache, or it is one of something else, with what differs.
        LimbeckError: if the recipe cannot be run.
    """
    if _is_folder(place):
        return [_verified(CacheReader(folder), None, name, sample) for name, folder in _found(Path(str(place))).items()]
    accelerator = start_accelerator()
    caches = _caches(place, accelerator, overrides, output, plugin, SilentProgress(), train=False)
    return [_verified(_opened(cache), cache, cache.teacher, sample) for cache in caches]


def info(
    place: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    plugin: str | Path | None = None,
) -> list[dict[str, Any]]:
    """What caches hold: see `limbeck.cache.CacheReader.info`.

    Args:
        place: the folder of a cache or of several, or a recipe whose teachers are trained.
        overrides, output, plugin: as in `build`.

    Raises:
        CacheError: if there is no cache.
        LimbeckError: if the recipe cannot be run.
    """
    if _is_folder(place):
        return [_info(folder, name) for name, folder in _found(Path(str(place))).items()]
    accelerator = start_accelerator()
    caches = _caches(place, accelerator, overrides, output, plugin, SilentProgress(), train=False)
    return [_info(_opened(cache).folder, cache.teacher) for cache in caches]


def remove(folder: str | Path) -> dict[str, Any]:
    """Remove a cache; returns its `info`.

    Args:
        folder: of one cache, as ``info`` shows it.

    Raises:
        CacheError: if it holds none, or cannot be removed.
    """
    place = Path(folder)
    if not Manifest.is_in(place):
        raise CacheError(
            f"{place} is no cache; `limbeck cache info` shows those in a folder", code="not_found", path=place
        )
    found = {"teacher": place.name, "folder": str(place), **CacheReader(place).info()}
    # At one go: half a cache would be taken for one that is to be mended.
    gone = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
    try:
        place.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise CacheError(f"{place} cannot be removed ({error.strerror})", code="unwritable", path=place) from error
    return found


def refuse_faults(verified: Sequence[Mapping[str, Any]]) -> None:
    """Refuse caches in which `verify` has found something.

    Raises:
        CacheError: with how much is wrong where.
    """
    for found in verified:
        differing = sum(len(rows) for rows in found["differing"].values())
        if found["faults"] or differing:
            first = next(iter(found["faults"].values()), "")
            raise CacheError(
                f"{found['folder']}: {len(found['faults'])} shards are missing or damaged{first and f' ({first})'}, "
                f"{differing} of {found['recomputed']} entries differ from what the teacher says; `limbeck cache "
                "build` writes such shards again; where entries differ, remove the cache first",
                code="damaged",
                path=found["folder"],
            )


def described(found: Mapping[str, Any]) -> str:
    """One cache in lines, from what `build`, `verify` or `info` gave."""
    lines = [f"{found['teacher']}  {found['folder']}"]
    if "entries" in found:
        missing = f", {len(found['missing'])} missing" if found["missing"] else ""
        entries = f"{found['entries']:,} entries ({found['rows']:,} rows, views: {found['views']})"
        lines.append(f"  {entries}, {found['bytes']:,} bytes in {found['shards']} shards{missing}")
        for name, field in found["fields"].items():
            error = "" if field["error"] is None else f", largest error {field['error']:.3g}"
            mass = "" if field["mass"] is None else f", mass kept {field['mass']:.4f}"
            codec = ", ".join(f"{key} {value}" if key != "use" else str(value) for key, value in field["codec"].items())
            lines.append(f"  {name} {field['shape']}: {codec}; {field['bytes_per_entry']} bytes an entry{error}{mass}")
        lines += [f"  {name}: {value}" for name, value in found["fingerprints"].items()]
    for count, what in (("written", "shards written"), ("mended", "of them in place of damaged ones")):
        if count in found:
            lines.append(f"  {len(found[count])} {what}")
    if "recomputed" in found:
        lines += [f"  {wrong}" for wrong in found["faults"].values()]
        differing = sum(len(rows) for rows in found["differing"].values())
        lines.append(f"  {found['recomputed']} entries asked for again, {differing} differ")
    return "\n".join(lines)


def _caches(
    recipe: str | Path | Mapping[str, Any],
    accelerator: Accelerator,
    overrides: Sequence[str],
    output: str | Path | None,
    plugin: str | Path | None,
    progress: Progress,
    *,
    train: bool,
) -> list[Cache]:
    """The caches of a recipe, its teachers trained."""
    pipeline, _ = prepare_pipeline(accelerator, recipe, {}, None, overrides, plugin)
    asking, plan = _planned(pipeline, output)
    digest = None if plugin is None else hashlib.sha256(Path(plugin).read_bytes()).hexdigest()
    with _workplace(canonical_hash(pipeline.recipe.to_dict())[:16], accelerator) as folder:
        runner = StageRunner(
            folder, accelerator=accelerator, progress=progress, plugin=digest, fresh=False, finished_only=not train
        )
        return _all(asking, plan, pipeline, runner)


@contextmanager
def _workplace(name: str, accelerator: Accelerator) -> Iterator[RunFolder]:
    """Where teachers are trained that no run has trained yet; of those that build side by side, one trains them."""
    folder = RunFolder(_runs / f".cache-{name}")
    with ExitStack() as lock:
        if accelerator.is_main_process:
            (_runs / ".caches").mkdir(parents=True, exist_ok=True)
            lock.enter_context(held(_runs / ".caches"))
            folder.path.mkdir(exist_ok=True)
            write_json(folder.environment, describe(accelerator.device, accelerator.num_processes))
        accelerator.wait_for_everyone()
        ended = False
        try:
            yield folder
            accelerator.wait_for_everyone()
            ended = True
        finally:
            # The next process continues from the checkpoints of one that was interrupted.
            if accelerator.is_main_process and (ended or not (folder.path / "checkpoints").exists()):
                shutil.rmtree(folder.path)


def _planned(pipeline: Pipeline, output: str | Path | None) -> tuple[Recipe, CachePlan]:
    """The recipe as one that asks for caches, and what is cached of it.

    Raises:
        RecipeError: if nothing is.
    """
    if pipeline.recipe.cache is False:
        raise RecipeError.at("cache", "the recipe says false; give --set cache=auto, or a section", code="no_effect")
    # Asked for here, whether or not it pays in a run.
    settings = parse_cache_settings({}) if pipeline.recipe.cache == AUTO else pipeline.recipe.cache
    recipe = replace(pipeline.recipe, cache=settings)
    plan = plan_of(recipe, pipeline.task, pipeline.trainings)
    if output is not None:
        plan = replace(plan, settings=replace(plan.settings, folder=str(output)))
    if not plan.outputs:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in plan.live.items())
        raise RecipeError.at(
            "cache", f"the recipe has no teacher that can be cached ({reasons or 'it has none'})", code="unsupported"
        )
    return recipe, plan


def _all(recipe: Recipe, plan: CachePlan, pipeline: Pipeline, runner: StageRunner) -> list[Cache]:
    trainer = StageTrainer(recipe, pipeline.task, pipeline.models, runner, plan)
    caches: dict[str, Cache] = {}
    for training in pipeline.trainings:
        for name in plan.cached_in(training, recipe.models):
            if name not in caches:
                precision = runner.precision(trainer.stage(training, training.train.seed))
                found = trainer.caches.cache(name, training, trainer.model(name), precision)
                assert isinstance(found, Cache)
                caches[name] = found
    return list(caches.values())


def _is_folder(place: str | Path | Mapping[str, Any]) -> bool:
    return not isinstance(place, Mapping) and Path(place).is_dir()


def _found(place: Path) -> dict[str, Path]:
    """The caches in a folder by name: itself, or those under it."""
    folders = [place] if Manifest.is_in(place) else sorted(path.parent for path in place.glob("*/manifest.json"))
    if not folders:
        raise CacheError(
            f"{place} holds no cache; `limbeck cache build RECIPE` writes one", code="not_found", path=place
        )
    return {folder.name: folder for folder in folders}


def _opened(cache: Cache) -> CacheReader:
    store = CacheReader(cache.folder)
    store.check(cache.manifest.fingerprints)
    return store


def _info(folder: Path, teacher: str) -> dict[str, Any]:
    return {"teacher": teacher, "folder": str(folder), **CacheReader(folder).info()}


def _verified(store: CacheReader, cache: Cache | None, teacher: str, sample: int) -> dict[str, Any]:
    if cache is None:
        found = verify_store(store)
    else:
        with cache.query.in_place():
            found = verify_store(store, cache.query, sample=sample)
    return {
        "teacher": teacher,
        "folder": str(store.folder),
        "faults": {str(number): wrong for number, wrong in found.faults.items()},
        "recomputed": found.recomputed,
        "differing": {name: [list(place) for place in places] for name, places in found.differing.items()},
        "largest": dict(found.largest),
    }
