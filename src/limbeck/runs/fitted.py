"""What the models of a run minimize that are fitted at once."""

from __future__ import annotations

from limbeck.recipes.recipe import Recipe
from limbeck.recipes.sklearn_models import is_sklearn_model
from limbeck.runs import plan
from limbeck.tasks import Task
from limbeck.training.fitted_objective import fitted_objective

__all__ = ["fitted_objectives"]


def fitted_objectives(recipe: Recipe, task: Task) -> dict[str, str]:
    """One sentence for each model of a run that is fitted at once, by the name of the model in the results.

    Args:
        recipe: parsed.
        task: with the data loaded.
    """
    found = {}
    for training in plan.trainings(recipe, task):
        section = training.learners["student"]
        spec = recipe.models[section]
        if is_sklearn_model(spec):
            terms = {name: term.build(training.train) for name, term in training.terms.items()}
            name = training.stage if section == "student" else section
            found[name] = fitted_objective(terms, spec.options, numbers=task.main_output == "value")
    return found
