"""Two rounds of federated averaging through a whole run, against a loop of plain PyTorch."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import limbeck
from limbeck import registry
from limbeck.runs.models import Models
from limbeck.runs.setup import load_task
from recipes.small import changed, parse

PLUGIN = Path(__file__).parents[1] / "contract" / "plugins" / "federated.py"
SHARES, RATE = (60, 40), 0.5
CHANGES: dict[str, Any] = {
    "data": {"use": "digits", "labels": 100},
    "objective": {"hard": {"loss": "cross_entropy"}},
    "train": {
        "epochs": 1,
        "optimizer": "sgd",
        "learning_rate": RATE,
        "schedule": "constant",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "precision": "float32",
    },
    "protocol": {"use": "federated_averaging", "shares": list(SHARES), "rounds": 2},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with registry.temporary():
        yield limbeck.run(changed(CHANGES), plugin=PLUGIN, output=tmp_path_factory.mktemp("federated") / "run")


def averaged_by_hand() -> dict[str, torch.Tensor]:
    """Every client takes one step with the mean gradient over its rows; their mean begins the next round."""
    recipe = parse({name: value for name, value in CHANGES.items() if name != "protocol"})
    task = load_task(recipe, None)
    rows = task.student_rows.rows
    labelled = rows.labelled.nonzero().flatten()
    merged: nn.Module = Models(recipe.models, task, {}).initial("student", 0)
    for _ in range(2):
        clients = []
        for part in torch.split(labelled, SHARES):
            client = copy.deepcopy(merged).train()
            batch = task.read(rows.subset(part), torch.arange(len(part)))
            nn.functional.cross_entropy(client(batch["inputs"]), batch["target"]).backward()
            with torch.no_grad():
                for parameter in client.parameters():
                    if parameter.grad is not None:
                        parameter -= RATE * parameter.grad
            clients.append(client.state_dict())
        total = sum(SHARES)
        merged.load_state_dict(
            {
                name: sum(share / total * client[name].double() for share, client in zip(SHARES, clients, strict=True))
                for name in clients[0]
            }
        )
    return merged.state_dict()


def test_the_student_is_that_of_the_loop(run: Path) -> None:
    weights = load_file(run / "models" / "student" / "model.safetensors")
    for name, value in averaged_by_hand().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-6)


def test_every_client_of_every_round_has_its_events(run: Path) -> None:
    stages = {file.stem for file in (run / "events").iterdir()}
    assert {f"round{number}_client{client}-seed0" for number in range(2) for client in range(2)} <= stages


def test_a_run_without_its_models_resumes_to_the_same_student(run: Path) -> None:
    before = (run / "models" / "student" / "model.safetensors").read_bytes()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    (run / "results.json").unlink()
    (run / "models" / "student" / "model.safetensors").unlink()
    limbeck.api.resume(run)
    assert (run / "models" / "student" / "model.safetensors").read_bytes() == before
    again = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert again["models"]["student"]["metrics"] == results["models"]["student"]["metrics"]
