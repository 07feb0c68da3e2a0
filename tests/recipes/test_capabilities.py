"""What a task needs of the models and tokenizers that its recipe names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from torch import Tensor, nn

import limbeck
from limbeck import registry
from limbeck.errors import RecipeError
from limbeck.recipes.catalogue import explain, listing
from recipes.small import SMALL, resolve
from refusals import refused

DATA = {
    "image_classification": SMALL["data"],
    "tabular_classification": {"use": "breast_cancer"},
    "regression": {"use": "diabetes"},
    "text_classification": {"use": "jsonl", "file": "x"},
    "token_classification": {"use": "jsonl", "file": "x"},
    "masked_language_modelling": {"use": "txt", "file": "x"},
}
OPTIONS = {"hugging_face": {"folder": "x"}, "timm": {"name": "resnet18"}, "torchvision": {"name": "resnet18"}}
# Written by hand: what each task can use.
PIXELS = {
    "decision_tree",
    "gradient_boosting",
    "lightgbm",
    "linear",
    "logistic_regression",
    "mlp",
    "mobilenet",
    "random_forest",
    "resnet",
    "ridge",
    "timm",
    "torchvision",
}
# Networks of two dimensions.
NETWORKS = {"mobilenet", "resnet", "timm", "torchvision"}
TAGGERS = {"bert", "bilstm", "hugging_face", "textcnn"}
MODELS = {
    "image_classification": PIXELS,
    "tabular_classification": PIXELS - NETWORKS,
    "regression": PIXELS - NETWORKS,
    "text_classification": TAGGERS | {"bag_of_words", "decision_tree", "logistic_regression", "random_forest"},
    "token_classification": TAGGERS,
    "masked_language_modelling": {"hugging_face"},
}
NAMES = sorted(set().union(*MODELS.values()))


def numbers_recipe() -> dict[str, Any]:
    return {"schema": 1, "task": "regression", "objective": {"hard": {"loss": "squared_error"}}, "control": False}


def models_of(task: str, **models: Any) -> dict[str, Any]:
    """The resolved models of a recipe with these."""
    numbers = {"loss": "squared_error", "inputs": {"target": "teacher.value"}}
    objective = {"soft": numbers if task == "regression" else {"loss": "kl_divergence"}}
    spec = {"schema": 1, "task": task, "data": DATA[task], "models": models, "objective": objective, "control": False}
    found: dict[str, Any] = resolve(spec, name="x")["models"]
    return found


def student_of(task: str, **student: Any) -> dict[str, Any]:
    teacher = {"use": "mlp"} if MODELS[task] <= PIXELS else {"use": "hugging_face", "folder": "x"}
    found: dict[str, Any] = models_of(task, teacher=teacher, student=student)["student"]
    return found


def test_the_tasks_and_models_of_this_file_are_all() -> None:
    assert set(DATA) == set(registry.read_index()["kinds"]["task"])
    # Those of the package: another test of this process may have loaded a plugin.
    assert set(NAMES) == set(registry.read_index()["kinds"]["model"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", DATA)
def test_a_recipe_takes_the_models_that_its_task_can_use_and_refuses_others(task: str, name: str) -> None:
    student = {"use": name, **OPTIONS.get(name, {})}
    if name in MODELS[task]:
        assert student_of(task, **student)["use"] == name
        return
    with refused(RecipeError, "unsupported", "models.student", match=rf"{name!r} .*; task {task} needs ") as caught:
        student_of(task, **student)
    # Another test of this process may have registered more.
    assert MODELS[task] <= set(re.findall(r"'(\w+)'", str(caught.value).partition("Known: ")[2]))
    assert not (set(NAMES) - MODELS[task]) & set(re.findall(r"'(\w+)'", str(caught.value).partition("Known: ")[2]))


@pytest.mark.parametrize("task", ["tabular_classification", "regression"])
def test_a_list_of_known_models_has_those_that_can_read_the_rows(task: str) -> None:
    with refused(RecipeError, "unknown_name", "models.student", match="Known: .*'mlp'") as caught:
        student_of(task, use="x")
    assert not any(repr(name) in str(caught.value) for name in NETWORKS)


def test_a_network_of_images_reads_no_rows_of_a_table_from_python() -> None:
    recipe = {**numbers_recipe(), "data": {}, "models": {"student": {"use": "resnet"}}}
    with refused(RecipeError, "unsupported", "models.student", match="reads images; task regression needs tables"):
        limbeck.run(recipe, data=[{"size": number, "label": 0.5 * number} for number in range(60)])


def test_options_are_those_of_the_entry_that_the_task_can_use() -> None:
    assert student_of("text_classification", use="logistic_regression", words="counts")["words"] == "counts"
    with pytest.raises(RecipeError, match=r"models\.student: logistic_regression takes no 'words'"):
        student_of("image_classification", use="logistic_regression", words="counts")
    found = [student_of(task, use="textcnn") for task in ("text_classification", "token_classification")]
    assert [one["windows"] for one in found] == [[3, 4, 5], [3, 5, 7]]
    assert [one["tokenizer"]["least"] for one in found] == [1, 2]
    with pytest.raises(RecipeError, match=r"models\.student: bert takes no 'per_word'"):
        student_of("token_classification", use="bert", per_word=True)


@pytest.mark.parametrize("task", [task for task in DATA if "hugging_face" in MODELS[task]])
def test_a_model_that_comes_with_weights_is_trained_only_if_its_section_says_so(task: str) -> None:
    pretrained, student = {"use": "hugging_face", "folder": "x"}, {"use": "hugging_face", "folder": "y"}
    assert models_of(task, teacher=pretrained, student=student)["teacher"]["train"] is None
    trained = models_of(task, teacher={**pretrained, "train": {"epochs": 3}}, student=student)
    assert trained["teacher"]["train"]["epochs"] == 3


@pytest.fixture
def plugin() -> Iterator[None]:
    class Mine(nn.Module):
        """A model from outside."""

        def __init__(self, *, channels: int, classes: int, size: tuple[int, int]) -> None:
            super().__init__()

        def forward(self, images: Tensor) -> Tensor:
            raise AssertionError

    def cut(*, texts: Any) -> Any:
        """Texts in pieces."""

    def whole(*, texts: Any) -> Any:
        """Words as they are."""

    with registry.temporary():
        registry.register("model", "mine")(Mine)
        registry.register("model", "hugging_face", inputs="images")(Mine)
        registry.register("tokenizer", "cut")(cut)
        registry.register("tokenizer", "whole", inputs="words")(whole)
        yield


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_states_nothing_reads_images_and_tables() -> None:
    for task in ("image_classification", "tabular_classification", "regression"):
        assert student_of(task, use="mine")["use"] == "mine"
    message = r"model 'mine' reads images and tables; task text_classification needs texts\. Known: 'bag_of_words', "
    with pytest.raises(RecipeError, match=message):
        student_of("text_classification", use="mine")
    # An entry of the same name for texts comes with weights; this one does not.
    images = models_of("image_classification", teacher={"use": "hugging_face"}, student={"use": "mlp"})
    assert images["teacher"]["train"]["epochs"] > 0
    lines = listing().splitlines()
    own = next(number for number, line in enumerate(lines) if line.startswith("    mine "))
    heading = next(line for line in lines[own::-1] if line.startswith("  ") and line[2] != " ")
    assert heading == "  for images or tables"
    assert explain("mine").startswith("model mine (for images or tables)\n")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("task", "fitting", "other", "reason"),
    [
        ("text_classification", "cut", "whole", "reads words; a task on texts needs texts"),
        ("token_classification", "whole", "cut", "reads texts; a task on words needs words"),
    ],
)
def test_a_tokenizer_reads_texts_or_words(task: str, fitting: str, other: str, reason: str) -> None:
    assert student_of(task, use="bilstm", tokenizer=fitting)["tokenizer"] == {"use": fitting}
    with pytest.raises(RecipeError, match=rf"models\.student\.tokenizer: tokenizer {other!r} {reason}\. Known: "):
        student_of(task, use="bilstm", tokenizer=other)
