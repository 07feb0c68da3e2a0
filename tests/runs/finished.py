"""Finished runs, and what they left."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from limbeck.data import Digits
from limbeck.tasks import ImageClassification, ImageSettings


@dataclass(frozen=True)
class Run:
    path: Path

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "results.json").read_text(encoding="utf-8"))
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = (self.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def accuracy(self, model: str) -> float:
        return float(self.results["models"][model]["metrics"]["accuracy"]["value"])

    def weights(self, model: str) -> dict[str, torch.Tensor]:
        return load_file(self.path / "models" / model / "model.safetensors")

    def taught(self, stage: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["stage"] == stage and "terms" in event]


Go = Callable[..., Run]


def digits(**settings: Any) -> ImageClassification:
    return ImageClassification(Digits().load(), ImageSettings(**settings))
