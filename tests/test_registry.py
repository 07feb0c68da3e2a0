"""The closed set of names."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from forks import TORCH, forked
from limbeck.errors import ArgumentError
from limbeck.registry import Needs, Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_what_is_registered_is_found_under_its_kind_alone(registry: Registry) -> None:
    @registry.register("loss", "mine")
    class Mine: ...

    assert registry.lookup("loss", "mine") is Mine
    assert registry.names("loss") == ("mine",)
    assert registry.names("model") == ()
    with pytest.raises(ArgumentError, match="no model 'mine'"):
        registry.lookup("model", "mine")


def test_an_unknown_name_is_met_with_the_nearest(registry: Registry) -> None:
    registry.register("loss", "kl_divergence")(object())
    with pytest.raises(ArgumentError, match=r"no loss 'kl_divergance'. Did you mean 'kl_divergence'\?"):
        registry.lookup("loss", "kl_divergance")
    with pytest.raises(ArgumentError, match=r"Known: 'kl_divergence'\."):
        registry.lookup("loss", "x")


def test_names_are_sorted(registry: Registry) -> None:
    for name in ("b", "c", "a"):
        registry.register("loss", name)(object())
    assert registry.names("loss") == ("a", "b", "c")


def test_a_name_that_is_taken_is_refused_and_kept(registry: Registry) -> None:
    class First: ...

    class Second: ...

    registry.register("loss", "mine")(First)
    with pytest.raises(ArgumentError, match="registered already"):
        registry.register("loss", "mine")(Second)
    assert registry.lookup("loss", "mine") is First


def test_a_definition_that_is_executed_again_replaces_itself(registry: Registry) -> None:
    def define() -> type:
        class Mine: ...

        return Mine

    first, again = define(), define()
    registry.register("loss", "mine")(first)
    registry.register("loss", "mine")(again)
    assert registry.lookup("loss", "mine") is again


def test_objects_without_a_definition_are_told_apart(registry: Registry) -> None:
    one, other = object(), object()
    registry.register("metric", "mine")(one)
    registry.register("metric", "mine")(one)
    with pytest.raises(ArgumentError, match="registered already"):
        registry.register("metric", "mine")(other)


# Capabilities.

TEXTS, IMAGES = Needs(("texts",), by="task reviews"), Needs(("images",), by="task photos")
WORDS = Needs(("texts",), per="word", by="task names")


def test_a_name_has_one_entry_for_each_capability(registry: Registry) -> None:
    pixels, texts, words = object(), object(), object()
    registry.register("model", "linear")(pixels)
    registry.register("model", "linear", inputs="texts")(texts)
    registry.register("model", "linear", inputs="texts", per="word")(words)
    found = [registry.lookup("model", "linear", needs) for needs in (None, IMAGES, TEXTS, WORDS)]
    assert found == [pixels, pixels, texts, words]
    assert registry.names("model") == registry.names("model", WORDS) == ("linear",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"inputs": "images"}),
        ({"inputs": "texts"}, {"inputs": ("words", "texts"), "pretrained": True}),
        ({"inputs": "texts", "per": ("row", "word")}, {"inputs": "texts", "per": "word"}),
    ],
)
def test_two_entries_of_a_name_that_one_task_could_use_are_refused(
    first: dict[str, Any], second: dict[str, Any], registry: Registry
) -> None:
    registry.register("model", "linear", **first)(object())
    with pytest.raises(ArgumentError, match="'linear' is registered already"):
        registry.register("model", "linear", **second)(object())


def test_an_indexed_entry_leaves_its_name_to_other_capabilities() -> None:
    stated = {"inputs": ["texts"], "per": ["row"], "pretrained": False}
    registry = Registry(lambda: {"model": {"mine": [{"module": "limbeck.models", "capabilities": stated}]}})
    mine = type("Mine", (), {})
    with pytest.raises(ArgumentError, match=r"registered already, by limbeck\.models"):
        registry.register("model", "mine", inputs="texts")(mine)
    registry.register("model", "mine")(mine)
    assert registry.lookup("model", "mine", IMAGES) is mine
    assert registry.names("model", TEXTS) == registry.names("model", IMAGES) == ("mine",)
    assert registry.names("model", WORDS) == ()


@pytest.mark.parametrize(
    ("name", "needs", "message"),
    [
        ("pixels", TEXTS, "model 'pixels' reads images and tables; task reviews needs texts. Known: 'both', 'texts'."),
        ("both", IMAGES, "model 'both' reads texts; task photos needs images. Known: 'pixels'."),
        ("texts", WORDS, "model 'texts' gives one label per row; task names needs one per word. Known: 'both'."),
        ("botj", WORDS, "no model 'botj'. Did you mean 'both'?"),
        ("pixel", WORDS, "no model 'pixel'. Known: 'both'."),
        (
            "both",
            Needs(("texts",), per="token"),
            "model 'both' gives one label per row or per word; this task needs one per token. Known: none.",
        ),
    ],
)
def test_what_an_entry_cannot_do_is_told_with_those_that_can(
    name: str, needs: Needs, message: str, registry: Registry
) -> None:
    registry.register("model", "pixels")(object())
    registry.register("model", "texts", inputs="texts")(object())
    registry.register("model", "both", inputs="texts", per=("row", "word"))(object())
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        registry.lookup("model", name, needs)


def test_what_does_not_say_what_it_reads_reads_what_is_usual_for_its_kind(registry: Registry) -> None:
    for kind in ("model", "tokenizer", "loss"):
        registry.register(kind, "mine")(object())
    found = [str(registry.capabilities(kind, "mine")[0]) for kind in ("model", "tokenizer", "loss")]
    assert found == ["for images or tables", "for texts", ""]


def test_an_entry_point_states_capabilities_when_it_is_loaded(registry: Registry) -> None:
    class Point(EntryPoint):
        def load(self) -> Any:
            return registry.register("model", "remote", inputs="texts")(Fraction)

    point = Point("model.remote", "fractions:Fraction", "limbeck")
    registry._points = lambda: {("model", "remote"): point}
    assert registry.lookup("model", "remote", TEXTS) is Fraction
    with pytest.raises(ArgumentError, match="model 'remote' reads texts; task photos needs images"):
        registry.lookup("model", "remote", IMAGES)


# The index, and entries of other distributions.


def indexed(module: str) -> Registry:
    return Registry(lambda: {"loss": {"mine": [{"module": module}]}})


def test_an_indexed_name_is_known_without_importing_its_module() -> None:
    registry = indexed("limbeck.no_such_module")
    assert (registry.kinds(), registry.names("loss")) == (("loss",), ("mine",))


def test_names_are_listed_without_torch() -> None:
    code = "import sys\nfrom limbeck import registry\nprint(registry.names('codec'), 'torch' in sys.modules)"
    assert run_python(code) == "('float16', 'float32', 'int8', 'sampled', 'topk') False"


def test_a_lookup_imports_the_module_of_an_indexed_entry_and_no_other(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from limbeck import registry\n"
        "module = 'limbeck.cache.codecs.int8'\n"
        "registry.names('codec')\n"
        "before = module in sys.modules\n"
        "entry = registry.lookup('codec', 'int8')\n"
        "print(before, entry.__module__ == module, 'limbeck.teachers' in sys.modules)"
    )
    (done,) = forked((code, [], {}), folder=tmp_path, modules=TORCH)
    assert (done.stdout, done.stderr) == ("False True False\n", "")


def test_an_index_that_is_out_of_date_says_how_to_write_it_again() -> None:
    with pytest.raises(ArgumentError, match=r"no longer in limbeck\.no_such_module; write the index again: make index"):
        indexed("limbeck.no_such_module").lookup("loss", "mine")


def test_a_plugin_cannot_take_an_indexed_name() -> None:
    registry = indexed("limbeck.losses")
    with pytest.raises(ArgumentError, match=r"'mine' is registered already, by limbeck\.losses"):
        registry.register("loss", "mine")(type("Mine", (), {}))


def test_an_entry_of_the_package_is_registered_under_its_indexed_name() -> None:
    registry = indexed("limbeck.losses")
    entry = type("Mine", (), {"__module__": "limbeck.losses._mine"})
    registry.register("loss", "mine")(entry)
    assert registry.lookup("loss", "mine") is entry
    assert [(one.kind, one.name, one.entry) for one in registry.registered()] == [("loss", "mine", entry)]


def test_an_entry_point_is_listed_and_loaded_when_it_is_looked_up() -> None:
    point = EntryPoint("loss.distance", "fractions:Fraction", "limbeck")
    registry = Registry(points=lambda: {("loss", "distance"): point})
    assert (registry.kinds(), registry.names("loss")) == (("loss",), ("distance",))
    assert registry.lookup("loss", "distance") is Fraction


def test_an_entry_point_cannot_take_an_indexed_name() -> None:
    point = EntryPoint("loss.mine", "fractions:Fraction", "limbeck")
    registry = Registry(lambda: {"loss": {"mine": [{"module": "limbeck.losses"}]}}, lambda: {("loss", "mine"): point})
    with pytest.raises(ArgumentError, match="'mine' is registered already"):
        registry.lookup("loss", "mine")


def test_entry_points_of_installed_distributions_are_found(tmp_path: Path) -> None:
    info = tmp_path / "addition-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: addition\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[limbeck]\nloss.distance = fractions:Fraction\n", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from limbeck import registry\n"
        "print('distance' in registry.names('loss'), registry.lookup('loss', 'distance').__name__)"
    )
    assert run_python(code) == "True Fraction"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
