"""Models with a tap of every kind, and the same tensors by other means than taps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torchvision.models import MobileNetV2, VisionTransformer
from torchvision.models.feature_extraction import create_feature_extractor
from transformers import BertConfig, BertForSequenceClassification

from core.toys import FEATURES
from limbeck.core import Distiller, Tapped, Term, resolve
from limbeck.core.addresses import tensors

ROWS = 6


class Pull(nn.Module):
    """The mean square of each row, over one tensor or several."""

    def forward(self, student: Any) -> Tensor:
        return torch.stack([tensor.flatten(1).square().mean(1) for tensor in tensors(student)]).sum(0)


class PullParameter(nn.Module):
    def forward(self, student: Tensor) -> Tensor:
        return student.square().mean().view(1)


@dataclass(frozen=True)
class TapCase:
    """A model and its taps.

    `values` gives what stands at each address, computed without a tap. `block` can be checkpointed, `inside` is a
    module in it.
    """

    name: str
    model: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    taps: Mapping[str, Any]
    addresses: tuple[str, ...]
    parameter: str
    block: str
    inside: str
    values: Callable[[nn.Module, Any], Mapping[str, Any]]
    call: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def built(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.model().to(dtype).eval()

    def batch(self, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            inputs = self.inputs()
        return {"inputs": inputs.to(dtype) if isinstance(inputs, Tensor) else inputs}

    def distiller(self, model: nn.Module) -> Distiller:
        """In eval mode: no row may depend on others, or parts of a batch would not add up."""
        # Unequal weights: no gradient that is lost could hide behind another.
        terms = {
            f"term{number}": Term(Pull(), {"student": f"student.{address}"}, weight=1.0 + number)
            for number, address in enumerate(self.addresses)
        }
        terms["parameter"] = Term(PullParameter(), {"student": f"student.parameters.{self.parameter}"}, weight=0.5)
        return Distiller(Tapped(model, self.taps, call=self.call), terms).eval()

    def read(self, outputs: Mapping[str, Any]) -> dict[str, tuple[Tensor, ...]]:
        """What stands at each address, without its graph."""
        return {a: tuple(t.detach() for t in tensors(resolve({"s": outputs}, f"s.{a}"))) for a in self.addresses}

    def by_hand(self, model: nn.Module, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Tensors, and gradients of the objective: without a tap, a term or a Distiller."""
        values = self.values(model, batch["inputs"])
        total = 0.5 * model.get_parameter(self.parameter).square().mean()
        for number, address in enumerate(self.addresses):
            for value in tensors(values[address]):
                exact = value.float() if value.dtype == torch.bfloat16 else value
                total = total + (1.0 + number) * exact.square().mean()
        total.backward()
        return (
            {address: tuple(value.detach() for value in tensors(values[address])) for address in self.addresses},
            gradients_of(model),
        )


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def part(batch: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Rows of a batch whose inputs may be a mapping."""
    inputs = batch["inputs"]
    if isinstance(inputs, Mapping):
        return {"inputs": {name: value[start:stop] for name, value in inputs.items()}}
    return {"inputs": inputs[start:stop]}


def checkpointed(model: nn.Module, path: str, *, reentrant: bool) -> nn.Module:
    """A copy in which one module keeps no activations. Its hooks run outside, those of the modules in it inside."""
    model = copy.deepcopy(model)
    module = model.get_submodule(path)
    plain = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(partial(plain, **kwargs), *args, use_reentrant=reentrant)

    module.forward = forward
    return model


class Toy(nn.Module):
    """Calls one block by position and one by keyword, and gives its hidden states where it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 5), nn.Linear(5, 3)
        self.block, self.other = nn.Sequential(nn.Linear(5, 5), nn.Tanh()), _ByKeyword()

    def forward(self, inputs: Tensor, states: bool = False) -> dict[str, Any]:
        first = self.first(inputs)
        second = self.block(first)
        third = self.other(scale=2.0, hidden=second)
        return {"logits": self.last(third), **({"states": (first, second, third)} if states else {})}


class _ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5)

    def forward(self, *, scale: float, hidden: Tensor) -> Tensor:
        return (scale * self.inner(hidden)).sin()


def _toy_values(model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    first = F.linear(inputs, model.first.weight, model.first.bias)
    second = F.linear(first, model.block[0].weight, model.block[0].bias).tanh()
    third = (2.0 * F.linear(second, model.other.inner.weight, model.other.inner.bias)).sin()
    logits = F.linear(third, model.last.weight, model.last.bias)
    return {
        "hidden": second, "before": first, "keyword": second, "both": (first, third), "both.1": third,
        "states.1": second, "logits": logits,
    }  # fmt: skip


def _bert() -> nn.Module:
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=12, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def _bert_inputs() -> dict[str, Tensor]:
    mask = torch.ones(ROWS, 5, dtype=torch.long)
    mask[0, 3:] = 0
    return {"input_ids": torch.randint(0, 20, (ROWS, 5)), "attention_mask": mask}


def _bert_values(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    found = model(**inputs, output_hidden_states=True)
    states, layers = found.hidden_states, model.bert.encoder.layer
    queries = tuple(layers[i].attention.self.query(states[i]) for i in (0, 1))
    return {
        "hidden": states[1], "before": states[1], "query": queries, "hidden_states.2": states[2],
        "logits": found.logits,
    }  # fmt: skip


def _mobilenet() -> nn.Module:
    settings = [[1, 16, 1, 1], [4, 16, 2, 2]]
    return MobileNetV2(num_classes=3, width_mult=0.25, inverted_residual_setting=settings, dropout=0.0)


def _vit() -> nn.Module:
    model = VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    )
    # It begins at 0, where nothing before it has a gradient.
    nn.init.normal_(model.heads.head.weight)
    return model


def _extracted(nodes: Mapping[str, str], model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """By torchvision's own extractor, which rewrites the graph of the model."""
    found = create_feature_extractor(model, {node: node for node in nodes.values()})(inputs)
    values = {address: found[node] for address, node in nodes.items()}
    return {**values, "both": (values["both.0"], values["both.1"])}


TAP_CASES = (
    TapCase(
        "toy",
        Toy,
        lambda: torch.randn(ROWS, FEATURES),
        {"hidden": "block", "before": "block:input", "keyword": "other:input", "both": ["first", "other"]},
        ("hidden", "before", "keyword", "both", "both.1", "states.1", "logits"),
        "block.0.weight",
        "block",
        "block.0",
        _toy_values,
        {"states": True},
    ),
    TapCase(
        "transformers",
        _bert,
        _bert_inputs,
        {
            "hidden": "bert.encoder.layer.0",
            "before": "bert.encoder.layer.1:input",
            "query": [f"bert.encoder.layer.{i}.attention.self.query" for i in (0, 1)],
        },
        ("hidden", "before", "query", "hidden_states.2", "logits"),
        "bert.encoder.layer.0.intermediate.dense.weight",
        "bert.encoder.layer.0",
        "bert.encoder.layer.0.output",
        _bert_values,
        {"output_hidden_states": True},
    ),
    TapCase(
        "torchvision-cnn",
        _mobilenet,
        lambda: torch.randn(ROWS, 3, 16, 16),
        {"hidden": "features.2", "before": "features.2:input", "both": ["features.1", "features.3"]},
        ("hidden", "before", "both", "logits"),
        "features.2.conv.2.weight",
        "features.2",
        "features.2.conv.0",
        partial(
            _extracted,
            {
                "hidden": "features.2",
                "before": "features.1",
                "both.0": "features.1",
                "both.1": "features.3",
                "logits": "classifier.1",
            },
        ),
    ),
    TapCase(
        "torchvision-vit",
        _vit,
        lambda: torch.randn(ROWS, 3, 16, 16),
        {
            "hidden": "encoder.layers.encoder_layer_0",
            "before": "encoder.layers.encoder_layer_1:input",
            "both": ["encoder.dropout", "encoder"],
        },
        ("hidden", "before", "both", "logits"),
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
        "encoder.layers.encoder_layer_0",
        "encoder.layers.encoder_layer_0.mlp",
        partial(
            _extracted,
            {
                "hidden": "encoder.layers.encoder_layer_0",
                "before": "encoder.layers.encoder_layer_0",
                "both.0": "encoder.dropout",
                "both.1": "encoder.ln",
                "logits": "heads.head",
            },
        ),
    ),
)
BY_NAME = {case.name: case for case in TAP_CASES}


def taps_of_half(rank: int, case: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What one of two processes finds: two rows on the first, the others on the second."""
    chosen = BY_NAME[case]
    distiller = chosen.distiller(chosen.built())
    batch = part(chosen.batch(), *((0, 2), (2, ROWS))[rank])
    distiller.prepare([batch])
    wrapped = DistributedDataParallel(distiller)
    out = wrapped(batch)
    out.loss(distiller.counts([batch])).backward()
    return chosen.read(out.outputs["student"]), gradients_of(distiller.students["student"].model)
