"""Which modules everything goes through, held to what happens when one of them gives the same for all images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNet, MobileNetV2, VisionTransformer

import limbeck.models  # noqa: F401  # registers the models
from layers.nets import IMAGES, Residual, library, paths, residual
from limbeck.layers.trace import modules, stages, trace
from limbeck.models import Normalized

COLOURED = IMAGES[:2].repeat(1, 3, 4, 4)


def vit() -> nn.Module:
    model = VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    )
    nn.init.normal_(model.heads.head.weight)
    return model


MODELS = {
    "resnet": lambda: library("resnet", width=4, depth=2),
    "mobilenet": lambda: library("mobilenet"),
    "mlp": lambda: library("mlp", width=8, depth=3),
    "residual": lambda: residual(4),
    "torchvision": lambda: MobileNetV2(3, 0.25, [[1, 16, 1, 1], [4, 16, 2, 2]]),
    "branches": lambda: GoogLeNet(num_classes=3, aux_logits=False, init_weights=False),
    "transformer": vit,
}


def is_passed(model: nn.Module, path: str, inputs: Tensor) -> bool:
    """Whether the logits no longer depend on the inputs when this module always gives the same."""
    constant: list[Any] = []

    def same(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        constant.append(output)
        return constant[0]

    hook = model.get_submodule(path).register_forward_hook(same)
    with torch.no_grad():
        one, other = model(inputs), model(inputs.flip(-1) ** 2)
    hook.remove()
    return torch.equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_the_trunk_is_what_everything_goes_through(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    inputs = COLOURED if name in ("torchvision", "branches", "transformer") else IMAGES[:2]
    traced = trace(model, inputs)
    passed = {path for path in traced.layers if is_passed(model, path, inputs)}
    trunk = paths(traced.trunk)
    assert set(trunk) <= passed
    # And nothing of it is forgotten: each has a layer of the trunk at its depth, or stands inside a block.
    depths = {layer.depth for layer in traced.trunk}
    for path in passed:
        layer = traced.layers[path]
        inside = any(path.startswith(f"{outer}.") for outer in trunk)
        assert inside or layer.depth in depths or layer.depth in (0.0, 1.0), path
    assert [layer.depth for layer in traced.trunk] == sorted({layer.depth for layer in traced.trunk})


def test_the_layers_of_a_residual_network() -> None:
    layers = trace(library("resnet", width=4, depth=2), IMAGES[:2]).trunk
    assert paths(layers) == ["stem", "stage1.0", "stage1", "stage2.0", "stage2", "stage3.0", "stage3"]
    assert [layer.shape for layer in layers[-3:]] == [(8, 4, 4), (16, 2, 2), (16, 2, 2)]
    # 1 stem, 2 for each of 6 blocks, 2 shortcuts, 1 head.
    assert [round(16 * layer.depth) for layer in layers] == [1, 3, 5, 8, 10, 13, 15]
    assert paths(stages(layers)) == ["stage1", "stage2", "stage3"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", ["layers.0", "layers.1", "layers"]),
        ("residual", ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks"]),
        ("torchvision", ["features.1", "features"]),
        (
            "transformer",
            ["encoder.dropout", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1", "encoder"],
        ),
    ],
)
def test_one_layer_for_each_size_or_all_where_maps_have_one(name: str, expected: list[str]) -> None:
    inputs = COLOURED if name in ("torchvision", "transformer") else IMAGES[:2]
    assert paths(stages(trace(MODELS[name](), inputs).trunk)) == expected


def test_in_plain_stacks_the_activation_stands_for_the_layer_and_pooling_for_none() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    assert paths(trace(model, IMAGES[:2]).trunk) == ["2", "6"]


def test_what_runs_twice_or_is_changed_in_place_is_no_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.last = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10)
            self.unused, self.act = nn.Linear(3, 3), nn.ReLU(inplace=True)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.act(self.again(self.again(self.first(images.flatten(1))))))

    model = Normalized(Twice(), [0.5], [0.5])
    traced = trace(model, IMAGES[:2])
    assert paths(traced.trunk) == ["first", "act"]
    assert set(traced.layers) == {"first", "act", "last", ""}
    listed = {module.path: module for module in modules(model, IMAGES[:3])}
    assert {path: module.runs for path, module in listed.items()} == {
        "": 1, "first": 1, "again": 2, "last": 1, "unused": 0, "act": 1,
    }  # fmt: skip
    assert listed["first"].shapes == ((3, 8),)
    assert listed["unused"].shapes == ()
    assert (listed["again"].kind, listed["again"].parameters) == ("Linear", 72)
    assert listed[""].parameters == sum(p.numel() for p in model.parameters())


def test_an_output_that_a_later_module_changes_in_place_is_no_layer() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(inplace=True), nn.Linear(8, 10))
    assert set(trace(model, IMAGES[:2]).layers) == {"", "0", "2", "3"}


def test_a_model_without_a_way_from_its_inputs_has_no_trunk() -> None:
    class Cut(Residual):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    assert trace(Cut(4, 1), IMAGES[:2]).trunk == ()
    assert stages(()) == []


def test_looking_leaves_no_hook_behind() -> None:
    model = residual(1)
    trace(model, IMAGES[:2])
    modules(model, IMAGES[:2])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
