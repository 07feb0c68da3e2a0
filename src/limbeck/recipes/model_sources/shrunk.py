"""A model that begins as a smaller copy of another one."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.models import shrink
from limbeck.recipes.adapters import base_spec
from limbeck.recipes.model_io import IO_OPTIONS
from limbeck.recipes.model_sources.learning import resolve_learning
from limbeck.recipes.model_sources.model_source import ModelContext, Section, Spec, WeightedModel
from limbeck.recipes.options import construct, resolve_options

__all__ = ["FromShrink"]

_supplied = ("model", "batches")


class FromShrink(WeightedModel):
    """``{shrink: NAME, layers: 2, …}``: with weights that `limbeck.models.shrink` takes from that model.

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
        beside = ("train", "objective", *IO_OPTIONS)
        own = resolve_options(shrink, options, path=path, name="shrink", supplied=_supplied, beside=beside)
        return {self.key: source, **own, **resolve_learning(section, ready=True), **section.read()}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return (spec[self.key],)

    def initial(self, spec: Spec, context: ModelContext, *, seed: int, path: str) -> nn.Module:
        whole, beside = (
            context.other(spec[self.key]),
            ("train", "objective", "confidence", "classes", *IO_OPTIONS),
        )
        options = {key: value for key, value in base_spec(spec).items() if key not in (self.key, *beside)}
        batches = context.rows(spec[self.key]) if spec["width"] is not None else ()
        small: nn.Module = construct(shrink, {**options, "model": whole, "batches": batches}, path=path)
        # Of texts: what it reads with.
        if hasattr(whole, "tokenizer"):
            small.tokenizer = whole.tokenizer
        return small.cpu()

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        # A folder of from_pretrained, whichever model it was taken from; the task knows where it stands.
        reading = {option: spec[option] for option in IO_OPTIONS}
        return {"use": "hugging_face", "folder": ".", "tokenizer": None, "checkpoint": None, **reading}
