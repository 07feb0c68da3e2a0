"""The network inside the modules that surround it: normalization, exits and preprocessing."""

from __future__ import annotations

from torch import nn

from limbeck.models.exits import WithExits
from limbeck.models.tabular.table_input import TableInput
from limbeck.models.values import Values, WithoutQuantiles
from limbeck.models.vision.normalized import Normalized
from limbeck.teachers import Preprocessed

__all__ = ["network", "path_in_model"]


def network(model: nn.Module) -> tuple[nn.Module, str]:
    """The network inside a model, whose modules a recipe names, and its path in the model."""
    for kind, place in ((WithExits, "body.model"), (Preprocessed, "model"), (WithoutQuantiles, "model")):
        if isinstance(model, kind):
            net, outer = network(model.model)
            return net, ".".join(filter(None, (place, outer)))
    if isinstance(model, Normalized | TableInput | Values):
        net, outer = network(model.net)
        return net, ".".join(filter(None, ("net", outer)))
    return model, ""


def path_in_model(model: nn.Module, path: str) -> str:
    """The path in a model of a module that has this path in its network."""
    return ".".join(filter(None, (network(model)[1], path)))
