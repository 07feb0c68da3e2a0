"""A model that begins as a smaller copy of another one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.models import shrink
from limbeck.recipes.model_io import IO_OPTIONS, ModelIO
from limbeck.recipes.model_sources.learning import parse_learning
from limbeck.recipes.model_sources.model_source import ModelContext, WeightedModel
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct, resolve_options

__all__ = ["FromShrink"]

_supplied = ("model", "batches")


class FromShrink(WeightedModel):
    """``{shrink: NAME, layers: 2, …}``: with weights that `limbeck.models.shrink` takes from that model.

    They are taken when training begins, so from a model that this run has trained before.
    """

    key = "shrink"

    def parse(self, section: Section) -> ModelSpec:
        options, path = dict(section.options), section.path
        source = options.pop(self.key)
        if not isinstance(source, str):
            raise RecipeError(
                f"{path}.shrink is {source!r}; it must be the name of a model, as in shrink: teacher",
                code="wrong_type",
                path=f"{path}.shrink",
            )
        if source == section.name:
            raise RecipeError(
                f"{path}.shrink is the model itself; name another one, as in shrink: teacher",
                code="cycle",
                path=f"{path}.shrink",
            )
        beside = ("train", "objective", *IO_OPTIONS)
        own = resolve_options(shrink, options, path=path, name="shrink", supplied=_supplied, beside=beside)
        return section.spec(
            self, {self.key: source, **own}, io=section.io(), learning=parse_learning(section, ready=True)
        )

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return (spec.options[self.key],)

    def initial(self, spec: ModelSpec, context: ModelContext, *, seed: int) -> nn.Module:
        options = dict(spec.options)
        source = options.pop(self.key)
        whole = context.other(source)
        batches = context.rows(source) if options["width"] is not None else ()
        small: nn.Module = construct(shrink, {**options, "model": whole, "batches": batches}, path=spec.path)
        # Of texts: what it reads with.
        if hasattr(whole, "tokenizer"):
            small.tokenizer = whole.tokenizer
        return small.cpu()

    def architecture(self, spec: ModelSpec) -> dict[str, Any]:
        # A folder of from_pretrained, whichever model it was taken from; the task knows where it stands.
        io = ModelIO() if spec.io is None else spec.io
        return {"use": "hugging_face", "folder": ".", "tokenizer": None, "checkpoint": None, **asdict(io)}
