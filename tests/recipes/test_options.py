"""Signatures as schemas."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import yaml

from limbeck import registry
from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.options import FROM_TRAIN, construct, option_types, resolve_options
from limbeck.tasks import ImageClassification
from refusals import refused

NEEDS = {"model": ImageClassification.needs}
OPTIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    # All with their defaults; the conformance table of tests/losses tries their options.
    **{("loss", name): [{}] for name in registry.names("loss")},
    ("balance", "gradient_norm"): [{}, {"at": "student.hidden", "every": 5, "smoothing": 0, "terms": ["a", "b"]}],
    ("balance", "uncertainty"): [{}],
    ("loss", "cross_entropy"): [{}, {"label_smoothing": 0.1, "class_weights": [1.0, 2.0]}],
    ("loss", "kl_divergence"): [
        {},
        {"temperature": 3},
        {"temperature": {"use": "cosine", "start": 8, "end": 2, "steps": 500}},
        {"temperature": {"use": "batch_law", "temperature": 4, "reference_batch_size": 64}},
        {"temperature": {"use": "curriculum", "steps": 500, "lowest": 1, "highest": 21}},
    ],
    ("loss", "hint_mse"): [{}, {"student_features": 3, "teacher_features": 5}],
    ("loss", "attention_scores"): [{"student_heads": 2, "teacher_heads": 4, "on": "maps", "layers": [[0, 1]]}],
    ("loss", "value_relation"): [{"relation_heads": 4}],
    ("model", "mlp"): [{}, {"width": 4, "depth": 1, "dropout": 0.1}],
    ("model", "resnet"): [{}, {"width": 4, "depth": 2}],
    ("model", "mobilenet"): [{}],
    ("model", "timm"): [{"name": "test_resnet"}],
    ("model", "torchvision"): [{"name": "squeezenet1_1"}],
    ("model", "logistic_regression"): [{}, {"l2": 0.1}],
    ("model", "decision_tree"): [{}, {"leaves": 8, "depth": 4}],
    ("model", "random_forest"): [{}, {"trees": 5, "leaves": 8, "depth": 4}],
    ("model", "linear"): [{}],
    ("model", "ridge"): [{}, {"l2": 0.1}],
    ("model", "gradient_boosting"): [{}, {"trees": 5, "leaves": 4, "depth": 2, "rate": 0.5}],
    ("model", "lightgbm"): [{}, {"trees": 5, "leaves": 4, "depth": 2, "rate": 0.5}],
    ("schedule", "constant"): [{"value": 1}],
    ("schedule", "linear"): [{"start": 0, "end": 1, "steps": 5}],
    ("schedule", "cosine"): [{"start": 0, "end": 1, "steps": 5}],
    ("schedule", "step"): [{"start": 1, "factor": 0.1, "steps": 5}],
    ("temperature", "batch_law"): [{"temperature": 4, "reference_batch_size": 64}],
    ("temperature", "curriculum"): [{"steps": 5}, {"steps": 5, "lowest": 2, "highest": 8}],
    ("source", "digits"): [{}],
    ("source", "mnist5k"): [{}],
    ("source", "idx"): [{"folder": "x"}, {"train_images": "a", "train_labels": "b"}],
    ("source", "image_folder"): [{"folder": "x", "size": 8}, {"folder": "x", "size": 8, "mode": "L", "memory": 5}],
    ("source", "npz"): [{"file": "x"}, {"file": "x", "layout": "NCHW", "unit": "m"}],
    ("source", "diabetes"): [{}],
    ("source", "breast_cancer"): [{}],
    ("reader", "csv"): [{"file": "x"}],
    ("reader", "jsonl"): [{"file": "x", "test_file": "y"}],
    ("reader", "parquet"): [{"file": "x"}],
    ("reader", "txt"): [{"file": "x"}],
    ("reader", "conll"): [{"file": "x"}, {"file": "x", "words": 1, "tags": None}],
    ("reader", "datasets"): [{"name": "x"}, {"name": "x", "config": "y", "validation_split": "z"}],
}


def own_entries() -> list[tuple[str, str]]:
    kinds = ("balance", "loss", "model", "reader", "schedule", "source", "temperature")
    found = [(kind, name) for kind in kinds for name in registry.names(kind, NEEDS.get(kind))]
    return [key for key in found if registry.lookup(*key, NEEDS.get(key[0])).__module__.startswith("limbeck.")]


def test_every_entry_is_tried() -> None:
    assert set(own_entries()) <= set(OPTIONS)


@pytest.mark.parametrize(
    ("kind", "name", "options"), [(*key, given) for key, rows in OPTIONS.items() for given in rows], ids=str
)
def test_every_entry_goes_through_a_recipe_and_back(kind: str, name: str, options: dict[str, Any]) -> None:
    if name == "lightgbm":
        pytest.importorskip("lightgbm")
    entry = registry.lookup(kind, name, NEEDS.get(kind))
    supplied = {"model": (*ImageClassification.supplied, "checkpoint"), "temperature": FROM_TRAIN}.get(kind, ())
    once = resolve_options(entry, options, path="here", name=name, supplied=supplied)
    assert once == {**once, **options}
    assert set(once) == set(option_types(entry, supplied))
    again = resolve_options(entry, yaml.safe_load(yaml.safe_dump(once)), path="here", name=name, supplied=supplied)
    assert again == once
    given = {"channels": 1, "classes": 3, "size": (32, 32), "batch_size": 64}
    taken = inspect.signature(entry).parameters
    given = {name: value for name, value in given.items() if name in supplied and name in taken}
    built = construct(entry, {**once, **given}, path="here", supplied={"batch_size": 64})
    assert built is not None


def wanting(
    *,
    number: int,
    share: float = 0.5,
    flag: bool = False,
    word: str = "a",
    choice: Literal["x", "y"] = "x",
    maybe: int | None = None,
    several: Sequence[float] = (1.0,),
    pair: tuple[int, int] = (1, 2),
    mapping: Mapping[str, float] | None = None,
    anything: Any = None,
) -> None: ...


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"number": "5"}, "here.number"),
        ({"number": 5.0}, "here.number"),
        ({"number": True}, "here.number"),
        ({"number": None}, "here.number"),
        ({"share": "0.5"}, "here.share"),
        ({"share": False}, "here.share"),
        ({"flag": "yes"}, "here.flag"),
        ({"flag": 0}, "here.flag"),
        ({"word": 5}, "here.word"),
        ({"choice": "z"}, "here.choice"),
        ({"maybe": "none"}, "here.maybe"),
        ({"several": 1.0}, "here.several"),
        ({"several": [1, "b"]}, "here.several.1"),
        ({"pair": [1]}, "here.pair"),
        ({"mapping": {"a": "b"}}, "here.mapping.a"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(given: dict[str, Any], where: str) -> None:
    with pytest.raises(RecipeError, match=where):
        resolve_options(wanting, {"number": 1, **given}, path="here", name="it")


def test_values_come_back_in_the_types_of_yaml() -> None:
    given = {"number": 1, "share": 1, "several": (1, 2), "pair": (3, 4), "anything": {"a": (1,)}, "word": Path("x/y")}
    found = resolve_options(wanting, given, path="here", name="it")
    assert found["several"] == [1.0, 2.0]
    assert found["pair"] == [3, 4]
    assert found["anything"] == {"a": [1]}
    assert found["word"] == "x/y"
    assert isinstance(found["share"], float)
    assert resolve_options(wanting, found, path="here", name="it") == found
    assert resolve_options(wanting, {"number": 1, "share": np.float64(0.25)}, path="h", name="it")["share"] == 0.25


def test_a_missing_option_is_named_with_its_type() -> None:
    with pytest.raises(RecipeError, match=r"here: it needs 'number'; give it a value of type int"):
        resolve_options(wanting, {}, path="here", name="it")


def test_a_misspelt_option_is_met_with_the_nearest_of_the_section() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'numbers'"):
        resolve_options(lambda *, alpha=1: None, {"numbrs": 1}, path="h", name="it", beside=["numbers"])


class Plain:
    def __init__(self, channels, gain=1.0, model_name: str = "x", schema: int = 1) -> None: ...  # type: ignore[no-untyped-def]


def test_options_of_a_users_class_need_no_star_and_no_annotation() -> None:
    """Nor may their names collide with those of the library that checks types."""
    found = resolve_options(Plain, {"gain": 2}, path="h", name="it", supplied=("channels",))
    assert found == {"gain": 2, "model_name": "x", "schema": 1}


@dataclass(frozen=True, kw_only=True)
class Dataclass:
    options: Mapping[str, Any] = field(default_factory=dict)


def test_a_default_that_is_made_is_written_out() -> None:
    assert resolve_options(Dataclass, {}, path="h", name="it") == {"options": {}}


class Unknown:
    def __init__(self, *, option: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class NoRecipe:
    def __init__(self, *, option: np.ndarray[Any, Any]) -> None: ...


@pytest.mark.parametrize(("entry", "message"), [(Unknown, "NoSuchType"), (NoRecipe, "annotate plain types")])
def test_annotations_that_cannot_be_used_are_told(entry: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve_options(entry, {"option": 1}, path="here", name="it")


def refusing(error: Exception) -> Any:
    def entry() -> None:
        raise error

    return entry


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ArgumentError("too small"), "^here: too small$"),
        (RecipeError("there: wrong"), "^there: wrong$"),
        (ValueError("bad"), "^here: ValueError: bad$"),
        (RuntimeError("no memory"), "^here: RuntimeError: no memory$"),
    ],
)
def test_what_a_constructor_refuses_is_told_with_its_place(error: Exception, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        construct(refusing(error), {}, path="here")


class Weighed:
    def __init__(self, *, weight: Annotated[float, registry.Entry("schedule", "temperature")] = 1.0) -> None:
        self.weight = weight


@pytest.mark.parametrize("batch_size", [64, 1024])
def test_an_entry_in_an_option_is_built_and_gets_what_train_supplies(batch_size: int) -> None:
    spec = {"use": "batch_law", "temperature": 4.0, "reference_batch_size": 64}
    resolved = resolve_options(Weighed, {"weight": spec}, path="here", name="it")
    assert resolved == {"weight": spec}
    built = construct(Weighed, resolved, path="here", supplied={"batch_size": batch_size})
    assert built.weight == 4.0 * (64 / batch_size) ** 0.25
    assert construct(Weighed, {"weight": {"use": "constant", "value": 2.0}}, path="here").weight(7) == 2.0
    assert option_types(Weighed)["weight"]["type"] == "float | {use: schedule or temperature}"


@pytest.mark.parametrize(
    ("kind", "value", "code", "path", "message"),
    [
        (int, "wide", "wrong_type", "it", "it: expected a whole number, got 'wide'"),
        (int, 1.5, "wrong_type", "it", "it: expected a whole number, got 1.5"),
        (float | None, "hot", "wrong_type", "it", "it: expected a number, got 'hot'"),
        (bool, 1, "wrong_type", "it", "it: expected true or false, got 1"),
        (str, 5, "wrong_type", "it", "it: expected a text, got 5"),
        (tuple[str, ...], "a", "wrong_type", "it", "it: expected a list, got 'a'"),
        (tuple[str, ...], ["a", 5], "wrong_type", "it.1", "it.1: expected a text, got 5"),
        (str | tuple[str, ...] | None, 5, "wrong_type", "it", "it: expected a text or a list, got 5"),
        (dict[str, float], {"a": "b"}, "wrong_type", "it.a", "it.a: expected a number, got 'b'"),
        (Literal["up", "down"], "left", "out_of_range", "it", "it: expected one of 'up', 'down', got 'left'"),
    ],
)
def test_a_value_of_another_type(kind: Any, value: Any, code: str, path: str, message: str) -> None:
    def entry(**options: Any) -> None: ...

    parameter = inspect.Parameter("it", inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    entry.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    entry.__annotations__ = {"it": kind}
    with refused(RecipeError, code, path, match=f"^{re.escape(message)}$"):
        resolve_options(entry, {"it": value}, path="", name="entry")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"use": "batch_low"}, "here.weight: no schedule or temperature 'batch_low'. Did you mean 'batch_law'?"),
        ({"use": "linear", "strat": 1}, "here.weight: linear takes no 'strat'. Did you mean 'start'?"),
        ({"use": "batch_law", "batch_size": 5}, "here.weight: batch_law takes no 'batch_size'"),
        ({"start": 1}, "here.weight is {'start': 1}; write a name, or {use: NAME}"),
        ("cosine", "here.weight: expected a number or {use: NAME} of a schedule or temperature, got 'cosine'"),
    ],
)
def test_a_wrong_entry_in_an_option_is_told_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        resolve_options(Weighed, {"weight": value}, path="here", name="it")


def test_what_an_entry_in_an_option_refuses_is_told_with_its_place() -> None:
    with pytest.raises(RecipeError, match=r"^here\.weight: linear: steps is 0"):
        construct(Weighed, {"weight": {"use": "linear", "start": 0.0, "end": 1.0, "steps": 0}}, path="here")
