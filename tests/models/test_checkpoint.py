from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from limbeck.errors import RunError
from limbeck.models import ResNet, load_weights

SHAPE: dict[str, Any] = {"channels": 1, "classes": 10, "size": (8, 8), "width": 4}


def model(seed: int, **options: int) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(**SHAPE | options)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("model.safetensors", lambda weights, path: save_file(weights, path)),
        ("model.pt", torch.save),
        ("model.pth", lambda weights, path: torch.save({"state_dict": weights, "epoch": 3}, path)),
        ("model.ckpt", lambda weights, path: torch.save({"model": weights}, path)),
    ],
)
def test_saved_weights_come_back(tmp_path: Path, name: str, save: Callable[[Any, Path], None]) -> None:
    source, target, images = model(0), model(1), torch.rand(3, 1, 8, 8)
    source(torch.rand(16, 1, 8, 8))  # so that the running statistics are not those of a new model
    save(source.state_dict(), tmp_path / name)
    load_weights(target, tmp_path / name)
    assert torch.equal(source.eval()(images), target.eval()(images))


def refuse(target: nn.Module, path: Path, code: str, message: str) -> None:
    before = copy.deepcopy(target.state_dict())
    with pytest.raises(RunError, match=message) as caught:
        load_weights(target, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert (caught.value.code, caught.value.path) == (code, str(path))
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refuse(model(0), tmp_path / "none.safetensors", "not_found", "no such file")


def test_missing_and_unexpected_names_are_told_the_first_few(tmp_path: Path) -> None:
    weights = model(0).state_dict()
    renamed = {name.replace("head", "fc"): value for name, value in weights.items() if not name.startswith("stem")}
    save_file(renamed, tmp_path / "model.safetensors")
    expected = (
        "lacks stem.0.weight, stem.1.weight, stem.1.bias and 5 more and "
        r"has unexpected fc.bias, fc.weight; it is of another architecture"
    )
    refuse(model(1), tmp_path / "model.safetensors", "mismatch", expected)


def test_another_shape_is_told_with_both(tmp_path: Path) -> None:
    save_file(model(0, classes=7).state_dict(), tmp_path / "model.safetensors")
    refuse(
        model(1),
        tmp_path / "model.safetensors",
        "mismatch",
        r"head.weight has shape \[7, 16\], the model expects \[10, 16\]",
    )


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(model(0).state_dict(), path)
    else:
        save_file(model(0).state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content) if isinstance(kept, float) else kept)])
    refuse(model(1), path, "unreadable", "not a")


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("executed",))


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_nothing_is_unpickled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save: Callable[[Any, Path], None]
) -> None:
    save({"weight": Harmful()}, tmp_path / "model.pt")
    refuse(nn.Linear(1, 1, bias=False), tmp_path / "model.pt", "unreadable", "not a torch file of plain tensors")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [torch.zeros(3), {"weight": 1.0}, [1, 2]])
def test_something_else_than_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pt")
    refuse(nn.Linear(1, 1), tmp_path / "model.pt", "wrong_type", "expected names with tensors")
