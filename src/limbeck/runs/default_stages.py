"""The stages that a recipe asks for, and those that its protocol makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.recipe import Recipe
from limbeck.runs import plan
from limbeck.runs.run_plan import RunPlan, RunProtocol, StageSpec
from limbeck.tasks import Task

__all__ = ["default_stages", "plan_run"]


def plan_run(recipe: Recipe, task: Task, seeds: Sequence[int]) -> RunPlan:
    """All stages of a run but its teachers, which train when a stage first needs them.

    Raises:
        RecipeError: if the protocol cannot be built, or makes no graph of the stages.
    """
    stages: Sequence[StageSpec] = list(default_stages(recipe, task, seeds))
    if recipe.protocol is not None:
        protocol: RunProtocol = recipe.protocol.build()
        try:
            stages = protocol.stages(stages)
        except LimbeckError as error:
            raise RecipeError.at("protocol", str(error), code=error.code) from error
    return RunPlan([*stages, *_compressed(recipe, stages)])


def default_stages(recipe: Recipe, task: Task, seeds: Sequence[int]) -> Iterator[StageSpec]:
    """For each seed the last stages of the control, where there is one, and of the student."""
    for seed in seeds:
        student = _stage(plan.student(recipe, task), seed, "student")
        if recipe.control:
            # A fair control computes in the student's precision.
            control = _stage(plan.control(recipe, task), seed, "control", like=student)
            yield _finetuned(control, recipe, task, like=student)
        yield _finetuned(student, recipe, task, like=student)


def _stage(training: plan.TrainingSpec, seed: int, role: str, **options: Any) -> StageSpec:
    return StageSpec(name=training.stage, seed=seed, role=role, training=training, **options)


def _finetuned(stage: StageSpec, recipe: Recipe, task: Task, like: StageSpec) -> StageSpec:
    """The stage, or the finetuning after it where the recipe asks for one."""
    training = plan.finetune(stage.role, recipe, task)
    if training is None:
        return stage
    return _stage(training, stage.seed, stage.role, like=like, needs=(stage,), initial={"student": stage})


def _compressed(recipe: Recipe, stages: Sequence[StageSpec]) -> Iterator[StageSpec]:
    """For each seed the last of the compression steps that come after the student."""
    steps = recipe.compress
    for stage in stages if steps else ():
        if stage.role != "student":
            continue
        for number, step in enumerate(steps, start=1):
            name = "compressed" if number == len(steps) else f"compressed_step{number}"
            stage = StageSpec(
                name=name, seed=stage.seed, role="compressed", kind="compress", needs=(stage,), compressor=step
            )
        yield stage
