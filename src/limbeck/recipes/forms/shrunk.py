"""A model that begins as a smaller copy of another one."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.recipes.equipment import bare
from limbeck.recipes.forms.form import OwnWeights, Section, Spec, Workshop
from limbeck.recipes.forms.learning import resolve_learning
from limbeck.recipes.options import construct, resolve_options
from limbeck.recipes.reading import READING_OPTIONS
from limbeck.students import shrink

__all__ = ["Shrunk"]

_supplied = ("model", "batches")


class Shrunk(OwnWeights):
    """``{shrink: NAME, layers: 2, …}``: with weights that `limbeck.students.shrink` takes from that model.

    They are taken when training begins, so from a model that this run has trained before.
    """

    key = "shrink"

    def resolve(self, section: Section) -> dict[str, Any]:
        options, path = dict(section.options), section.path
        source = options.pop(self.key)
        if not isinstance(source, str):
            raise RecipeError(f"{path}.shrink is {source!r}; it must be the name of a model, as in shrink: teacher")
        if source == section.name:
            raise RecipeError(f"{path}.shrink is the model itself; name another one, as in shrink: teacher")
        beside = ("train", "objective", *READING_OPTIONS)
        own = resolve_options(shrink, options, path=path, name="shrink", supplied=_supplied, beside=beside)
        return {self.key: source, **own, **resolve_learning(section, ready=True), **section.read()}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return (spec[self.key],)

    def initial(self, spec: Spec, workshop: Workshop, *, seed: int, path: str) -> nn.Module:
        whole, beside = (
            workshop.other(spec[self.key]),
            ("train", "objective", "confidence", "classes", *READING_OPTIONS),
        )
        options = {key: value for key, value in bare(spec).items() if key not in (self.key, *beside)}
        batches = workshop.rows(spec[self.key]) if spec["width"] is not None else ()
        small: nn.Module = construct(shrink, {**options, "model": whole, "batches": batches}, path=path)
        # Of texts: what it reads with.
        if hasattr(whole, "tokenizer"):
            small.tokenizer = whole.tokenizer
        return small.cpu()

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        # A folder of from_pretrained, whichever model it was taken from; the task knows where it stands.
        reading = {option: spec[option] for option in READING_OPTIONS}
        return {"use": "hugging_face", "folder": ".", "tokenizer": None, "checkpoint": None, **reading}
