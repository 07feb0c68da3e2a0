"""The whole run: teachers, control, student, evaluation and export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from accelerate import Accelerator
from torch import nn

from limbeck.errors import RecipeError, suggest
from limbeck.recipes.model_sources.parse import RESERVED
from limbeck.recipes.options import construct
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.sklearn_models import check_sklearn_models, sklearn_notes
from limbeck.runs import plan
from limbeck.runs.artifacts import ArtifactWriter
from limbeck.runs.build import build_distiller
from limbeck.runs.cache import cached_outputs, plan_of
from limbeck.runs.candidates import Candidates
from limbeck.runs.checks import check_signal
from limbeck.runs.default_stages import plan_run
from limbeck.runs.dry_run import DryRun, check_rows
from limbeck.runs.exports import check_int8
from limbeck.runs.metric_trial import check_metrics
from limbeck.runs.models import Models
from limbeck.runs.run_plan import RunPlan
from limbeck.runs.stages import StageRunner
from limbeck.runs.training import StageTrainer
from limbeck.tasks import Task

__all__ = ["Pipeline"]


class Pipeline:
    """Everything that one resolved recipe asks for.

    Args:
        recipe: parsed.
        task: with the data loaded.
        objects: models that were given as real objects, by name.
    """

    def __init__(self, recipe: Recipe, task: Task, objects: Mapping[str, nn.Module]) -> None:
        self.recipe = recipe
        self.task = task
        self.models = Models(recipe.models, task, objects)
        self.trainings = tuple(plan.trainings(recipe, task))
        self.caching = plan_of(recipe, task, self.trainings)
        self.peers = plan.peers(recipe.models)
        self.used = plan.student(recipe, task).teachers
        self.seeds = [recipe.train.seed + number for number in range(recipe.seeds)]

    def check(self, accelerator: Accelerator) -> list[str]:
        """Build everything once and try a step of every stage, before anything is written; returns notes.

        Raises:
            LimbeckError: if models, terms or data do not fit together.
        """
        check_rows(self.task)
        models = {name: self.models.initial(name, self.seeds[0]) for name in self.models.names}
        for name, model in models.items():
            self._check_model(name, model)
        if self.models.output_names("student") is not None:
            raise RecipeError(
                "models.student knows other classes than the data; a student needs the same",
                code="mismatch",
                path="models.student",
            )
        check_sklearn_models(self.recipe, models, self.task)
        check_int8(self.recipe, models["student"])
        self._check_read()
        construct(partial(replace, self.recipe.train), {"seed": self.seeds[-1]}, path="seeds", places={"seed": "seeds"})
        dry_runs = [self._dry_run(training, models) for training in self._distinct_trainings()]
        for dry_run in dry_runs:
            dry_run.check_settings(self.task, accelerator)
        notes = [line for dry_run in dry_runs for line in dry_run.step(self.task, accelerator)]
        check_metrics(self.task, models["student"], self.recipe.student.inputs)
        for training in self.trainings:
            check_signal(training, self.recipe.models)
        return [*sklearn_notes(self.recipe, self.task), *self._untrained(models), *notes]

    def _check_model(self, name: str, model: nn.Module) -> None:
        """Refuse a model that does not fit the task, or could not be evaluated."""
        spec = self.recipe.models[name]
        if spec.co_training is not None and spec.input_sources:
            return
        if (spec.io is not None and not isinstance(spec.io.inputs, str)) or spec.input_sources:
            raise RecipeError.at(
                f"models.{name}.inputs",
                "only a model that trains together with the student, and reads outputs of a model, may have inputs "
                "outside of the batch or several of them; give one address in the batch",
                code="unsupported",
            )
        self.task.check_model(f"models.{name}", self.models.for_task(name, model), spec.inputs)

    def _run_plan(self) -> RunPlan:
        """The stages of the run but its teachers.

        Raises:
            RecipeError: if the protocol makes no graph of the stages, or a baseline that cannot be measured.
        """
        run_plan = plan_run(self.recipe, self.task, self.seeds)
        for name in run_plan.baselines:
            if name in RESERVED or name in self.recipe.models:
                raise RecipeError.at(
                    "protocol", f"the role {name!r} is the name of another model of the run; rename it", code="in_use"
                )
            count = len(run_plan.of_role(name))
            if count != len(self.seeds):
                raise RecipeError.at(
                    "protocol",
                    f"the role {name!r} has {count} last stages; expected one for each of {len(self.seeds)} seeds",
                    code="mismatch",
                )
        return run_plan

    def _distinct_trainings(self) -> list[plan.TrainingSpec]:
        """Those of the recipe, and those of its protocol that differ from all of them in more than their name."""
        found = list(self.trainings)
        for stage in self._run_plan().stages:
            if stage.training is not None and not any(map(stage.training.is_like, found)):
                found.append(stage.training)
        return found

    def _untrained(self, models: Mapping[str, nn.Module]) -> Iterator[str]:
        """What has random weights in models that came with others."""
        for name, model in models.items():
            what = getattr(model, "untrained", "")
            spec = self.recipe.models[name]
            learns = name == "student" or spec.train is not None or spec.co_training is not None
            if what and self._names_classes() and not learns:
                raise RecipeError.at(
                    f"models.{name}", f"{what}; train it, as in train: {{epochs: 2}}", code="unsupported"
                )
            if what:
                yield f"models.{name}: {what}"

    def _names_classes(self) -> bool:
        """Whether a training reads logits: a head that none reads may be any."""
        terms = [term for training in self.trainings for term in training.terms.values()]
        return any(address.endswith(".logits") for term in terms for address in term.addresses)

    def _check_read(self) -> None:
        for name in self.models.objects:
            if name not in (*self.used, *self.peers, "student"):
                raise RecipeError(
                    f"models.{name} was given as an object, but no term reads it.{suggest(name, self.used)}",
                    code="no_effect",
                    path=f"models.{name}",
                )
        for name in self.peers:
            if not any(name in term.sources for term in self.recipe.objective.values()):
                raise RecipeError(
                    f"models.{name} trains together with the student, but no term of the objective reads it",
                    code="no_effect",
                    path=f"models.{name}",
                )

    def _dry_run(self, training: plan.TrainingSpec, models: Mapping[str, nn.Module]) -> DryRun:
        # What a recipe does not ask for changes nothing that a trial could find.
        specs = self.recipe.models
        cached = self.caching.cached_in(training, specs) if self.caching.requested else []
        learners = self.models.learners(training, self.seeds[0], models)
        distiller = partial(build_distiller, training, specs, learners, models, classes=self.task.names, cached=cached)
        cached_of_batch = partial(cached_outputs, self.caching, cached, self.recipe, models) if cached else None
        return DryRun(training, distiller, cached_of_batch)

    def run(self, runner: StageRunner) -> dict[str, Any]:
        """Train, measure, export; the content of results.json."""
        for name, reason in self.caching.live.items():
            runner.progress.note(f"cache: {name} stays live: {reason}")
        trainer = StageTrainer(self.recipe, self.task, self.models, runner, self.caching)
        run_plan = self._run_plan()
        for stage in run_plan.stages:
            trainer.result(stage)
        controls = [trainer.result(stage) for stage in run_plan.of_role("control")]
        students = [trainer.result(stage) for stage in run_plan.of_role("student")]
        compressed = [trainer.compressed(one) for one in run_plan.of_role("compressed")]
        baselines = {name: [trainer.student(stage) for stage in run_plan.of_role(name)] for name in run_plan.baselines}
        teachers = {name: trainer.model(name) for name in self._leaves()}
        teacher_keys = {name: trainer.key(name) for name in teachers}
        writer = ArtifactWriter(self.recipe, self.task, self.seeds, runner, teacher_keys)
        candidates = Candidates(self.models, self.used, teachers, students)
        evaluated = candidates.evaluated_models(controls, writer.ship, compressed, baselines)
        keys = [trainer.result(stage).key for stage in run_plan.last.values()]
        upstream = [*keys, *teacher_keys.values()]
        return writer.results(
            evaluated, upstream, best=candidates.best(evaluated), chosen=len(candidates.choices(evaluated)) > 1
        )

    def _leaves(self) -> list[str]:
        return [name for name in self.used if name in self.models.names]
