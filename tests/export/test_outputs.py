"""Files with any named inputs and outputs: numbers, whole numbers, several axes, names of entries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Session, check_parity, export_onnx, quantize_int8
from refusals import refused


class Detector(nn.Module):
    """Per row and cell of a grid: a box, the number of its class, and the score of the whole row."""

    def __init__(self) -> None:
        super().__init__()
        self.box = nn.Linear(3, 4)
        self.kind = nn.Linear(3, 5)

    def forward(self, cells: Tensor, scale: Tensor) -> dict[str, Tensor]:
        boxes = self.box(cells) * scale[:, None, None]
        return {
            "unused": cells,
            "score": cells.sum((1, 2)),
            "boxes": boxes,
            "kind": self.kind(cells).argmax(-1),
        }


OUTPUTS = {"boxes": ("batch", "cell"), "kind": ("batch", "cell"), "score": ("batch",)}
AXES = {"cells": ("batch", "cell"), "scale": ("batch",)}


def cells(rows: int, length: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(10 * rows + length)
    return {
        "cells": torch.randn(rows, length, 3, generator=generator),
        "scale": torch.rand(rows, generator=generator) + 1,
    }


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    torch.manual_seed(0)
    model, path = Detector(), tmp_path_factory.mktemp("detector") / "model.onnx"
    export_onnx(
        model,
        path,
        example=cells(2, 3),
        outputs=OUTPUTS,
        metadata={"run": "cells"},
        axes=AXES,
        names={"boxes": ("left", "top", "right", "bottom"), "cells": ("red", "green", "blue")},
        inputs={"scale": "metres per cell"},
    )
    return model, path


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 7), (70, 2)])
def test_every_output_is_that_of_the_model(detector: tuple[Detector, Path], rows: int, length: int) -> None:
    model, path = detector
    batch = cells(rows, length)
    with torch.no_grad():
        expected = model(**batch)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == list(OUTPUTS)
    found = session.run(None, {name: value.numpy() for name, value in batch.items()})
    for name, value in zip(OUTPUTS, found, strict=True):
        assert value.dtype == expected[name].numpy().dtype
        np.testing.assert_allclose(value, expected[name].numpy(), atol=1e-5)
    ours = Session(path)({name: value.numpy() for name, value in batch.items()})
    assert all(np.array_equal(ours[name], value) for name, value in zip(OUTPUTS, found, strict=True))


def test_the_file_describes_its_inputs_and_names_their_entries(detector: tuple[Detector, Path]) -> None:
    session = Session(detector[1])
    assert (session.main, list(session.outputs)) == ("boxes", list(OUTPUTS))
    assert session.names == {
        "boxes": ("left", "top", "right", "bottom"),
        "cells": ("red", "green", "blue"),
    }
    assert session.inputs["cells"].shape == ("batch", "cell", 3)
    assert session.outputs["kind"].dtype == np.int64
    assert session.metadata == {
        "schema": "1",
        "classes": json.dumps(["left", "top", "right", "bottom"]),
        "names": json.dumps({"cells": ["red", "green", "blue"]}),
        "input": "cells: float32 [batch, cell, 3]; scale: float32 [batch], metres per cell",
        "run": "cells",
    }


def test_a_wrong_input_is_told_with_its_description(detector: tuple[Detector, Path]) -> None:
    session, batch = Session(detector[1]), {name: value.numpy() for name, value in cells(2, 3).items()}
    with refused(
        ArgumentError,
        "wrong_shape",
        "scale",
        match=r"'scale' is float32 of shape \[2, 1\]; expected .* metres per cell",
    ):
        session({**batch, "scale": batch["scale"][:, None]})
    with refused(ArgumentError, "missing", "scale", match=r"the inputs are \['cells'\]; the file takes 'scale' too"):
        session({"cells": batch["cells"]})


def test_parity_looks_at_every_output(detector: tuple[Detector, Path]) -> None:
    model, path = detector
    session, batch = Session(path), cells(70, 4)
    with torch.no_grad():
        expected = {name: value.numpy() for name, value in model(**batch).items()}
    found = [
        session({name: value[rows].numpy() for name, value in batch.items()}) for rows in (slice(64), slice(64, 70))
    ]
    by_hand = max(
        np.abs(np.concatenate([part[name] for part in found]) - expected[name]).max() for name in ("boxes", "score")
    )
    assert 0 < by_hand <= check_parity(model, session, [batch]) < 1e-4


@pytest.mark.parametrize("output", ["boxes", "kind", "score"])
def test_the_output_that_differs_is_named(detector: tuple[Detector, Path], output: str) -> None:
    class Changed(Detector):
        def forward(self, cells: Tensor, scale: Tensor) -> dict[str, Tensor]:
            given = super().forward(cells, scale)
            given[output] = given[output].clone()
            given[output][-1] += 1
            return given

    changed = Changed()
    changed.load_state_dict(detector[0].state_dict())
    with pytest.raises(ExportError, match=rf"in row 4 \(batch of 5\) of '{output}'"):
        check_parity(changed, Session(detector[1]), [cells(5, 2)])


def test_whole_numbers_must_be_equal(tmp_path: Path) -> None:
    class Large(nn.Module):
        def __init__(self, added: int) -> None:
            super().__init__()
            self.added = added

        def forward(self, rows: Tensor) -> Tensor:
            return rows.long() + self.added

    rows = torch.full((3, 2), 30_000.0)
    export_onnx(Large(0), tmp_path / "model.onnx", example=rows, outputs={"token": ("batch",)}, metadata={})
    assert check_parity(Large(0), Session(tmp_path / "model.onnx"), rows) == 0
    with refused(ExportError, "mismatch", match=r"differs from its model by 1 in row 0"):
        check_parity(Large(1), Session(tmp_path / "model.onnx"), rows)


def test_a_difference_of_the_callers_decides_instead(detector: tuple[Detector, Path]) -> None:
    model, path = detector
    seen = []

    def difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
        assert {name: value.shape for name, value in ours.items()} == {k: v.shape for k, v in theirs.items()}
        seen.append(len(theirs["kind"]))
        return 0.5 if len(theirs["kind"]) == 6 else 0.25

    assert check_parity(model, Session(path), [cells(70, 2)], tolerance=0.6, parity=difference) == 0.5
    assert seen == [64, 1, 6, 1]
    with pytest.raises(ExportError, match=r"by 0.5 in row 64 \(batch of 6\); at most 0.3 is allowed"):
        check_parity(model, Session(path), [cells(70, 2)], tolerance=0.3, parity=difference)


def test_an_angle_needs_neither_logits_nor_classes(tmp_path: Path) -> None:
    class Angle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 1)

        def forward(self, load: Tensor) -> dict[str, Tensor]:
            return {"angle": self.net(load).squeeze(-1)}

    model, rows = Angle(), torch.rand(4, 2)
    export_onnx(model, tmp_path / "a.onnx", example=rows, outputs={"angle": ("row",)}, metadata={}, axes=("row",))
    session = Session(tmp_path / "a.onnx")
    assert (list(session.inputs), session.main, session.names) == (["input"], "angle", {})
    assert "classes" not in session.metadata
    np.testing.assert_allclose(session(rows)["angle"], model(rows)["angle"].detach().numpy(), atol=1e-6)
    assert check_parity(model, session, rows) < 1e-5
    quantize_int8(tmp_path / "a.onnx", tmp_path / "small.onnx")
    small = Session(tmp_path / "small.onnx")
    assert session.metadata.items() <= small.metadata.items()
    np.testing.assert_allclose(small(rows)["angle"], session(rows)["angle"], atol=0.05)


def test_two_names_may_mean_one_tensor(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def forward(self, rows: Tensor) -> dict[str, Tensor]:
            doubled = 2 * rows
            return {"a": doubled, "b": doubled}

    rows = torch.rand(3, 2)
    export_onnx(Twice(), tmp_path / "m.onnx", example=rows, outputs={"b": ("batch",), "a": ("batch",)}, metadata={})
    found = Session(tmp_path / "m.onnx")(rows)
    assert list(found) == ["b", "a"]
    assert np.array_equal(found["a"], 2 * rows.numpy())
    assert np.array_equal(found["b"], found["a"])


def test_an_output_may_have_an_axis_of_its_own(tmp_path: Path) -> None:
    class EveryOther(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows[:, ::2]

    path = tmp_path / "m.onnx"
    axes = ("batch", "length")
    export_onnx(
        EveryOther(), path, example=torch.rand(2, 6), outputs={"half": ("batch", "place")}, metadata={}, axes=axes
    )
    session = Session(path)
    assert session.outputs["half"].shape == ("batch", "place")
    for length in (1, 5, 8):
        rows = torch.rand(3, length).numpy()
        assert np.array_equal(session(rows)["half"], rows[:, ::2])
    with pytest.raises(ExportError, match="EveryOther works for one length size only"):
        export_onnx(EveryOther(), path, example=torch.rand(2, 6), outputs={"half": axes}, metadata={}, axes=axes)


def test_an_output_that_the_model_does_not_give_is_told(tmp_path: Path) -> None:
    with refused(
        ArgumentError, "unknown_name", "outputs", match=r"the model gives no output 'boxs'\. Did you mean 'boxes'"
    ):
        export_onnx(
            Detector(),
            tmp_path / "m.onnx",
            example=cells(2, 2),
            outputs={"boxs": ("batch", "cell")},
            metadata={},
            axes=AXES,
        )
