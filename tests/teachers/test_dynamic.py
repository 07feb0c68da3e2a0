"""Weights and temperatures of rows against the papers' equations, and what they do in a training step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from core.ranks import Ranks
from core.toys import CE, gradients, make_batch, mlp, rows_of_batch
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.losses import CrossEntropy, KLDivergence
from limbeck.teachers import Dynamic, Frozen
from teachers import ranks as tasks
from teachers.ranks import PARTS_OF_ROWS, dynamic, dynamic_steps

Array = NDArray[np.float64]
ROW = {"temperature": "dynamic.temperature"}


def uncertainty(z: Array) -> Array:
    """Equation of Li et al.: the entropy, over that of the uniform distribution."""
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return -(p * np.log(p)).sum(-1) / np.log(z.shape[-1])


def confusion(by: str, z: Array, t: Array, power: float) -> Array:
    """FLSW and CWSM of Wen et al."""
    if by == "confidence":
        return np.exp(z).sum(-1) / np.exp(z).max(-1)
    cosine = (z * t).sum(-1) / (np.linalg.norm(z, axis=-1) * np.linalg.norm(t, axis=-1))
    return (1 - cosine) ** power


def boards(shape: tuple[int, ...], seed: int = 0) -> tuple[dict[str, dict[str, torch.Tensor]], Array, Array]:
    random = np.random.default_rng(seed)
    z, t = random.normal(scale=2.0, size=shape), random.normal(scale=2.0, size=shape)
    return {"student": {"logits": torch.tensor(z)}, "teacher": {"logits": torch.tensor(t)}}, z, t


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)], ids=str)
def test_the_weight_is_the_normalized_entropy(shape: tuple[int, ...]) -> None:
    board, z, _ = boards(shape)
    outputs = Dynamic()(board)
    np.testing.assert_allclose(outputs["weight"].numpy(), uncertainty(z), rtol=1e-12)
    np.testing.assert_allclose(outputs["certainty"].numpy(), 1 - uncertainty(z), rtol=1e-12)
    assert outputs["weight"].shape == shape[:-1]


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("by", ["confidence", "agreement"])
@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)], ids=str)
def test_temperatures_are_those_of_the_paper_around_the_mean_before(
    shape: tuple[int, ...], by: str, power: float
) -> None:
    source = Dynamic(by=by, temperature=4.0, spread=2.5, lowest=3.0, power=power)
    board, z, t = boards(shape)
    before = source(board)["temperature"]
    assert before.shape == shape[:-1]
    assert (before == 4.0).all()
    source.after_step(1)
    source.follow_step(1)
    mean = confusion(by, z, t, power).mean()
    other, z, t = boards(shape, seed=1)
    expected = 4.0 + 2.5 * (1 - confusion(by, z, t, power) / mean)
    np.testing.assert_allclose(source(other)["temperature"].numpy(), expected.clip(min=3.0), rtol=1e-6)
    assert (expected < 3.0).any()
    assert (expected > 4.0).any()


def test_sure_rows_get_no_weight_and_extremes_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [-torch.inf, 1.0, 1.0]])
    outputs = Dynamic(by="agreement")({"student": {"logits": logits[:2]}, "teacher": {"logits": logits[:2]}})
    assert outputs["weight"].tolist() == [0.0, pytest.approx(1.0)]
    assert outputs["temperature"].isfinite().all()
    unknown = Dynamic()({"student": {"logits": logits}})["weight"][2]
    assert unknown.item() == pytest.approx(np.log(2) / np.log(3))


def test_half_precision_is_widened() -> None:
    outputs = Dynamic()({"student": {"logits": torch.tensor([[9.0, 0.0]], dtype=torch.bfloat16)}})
    assert {value.dtype for value in outputs.values()} == {torch.float32}


def test_without_a_spread_it_is_plain_distillation_at_that_temperature() -> None:
    batch, teacher = make_batch(9), mlp(1)
    rows = {"soft": Term(KLDivergence(), ROW)}
    dynamic_one = Distiller(mlp(0), rows, {"teacher": Frozen(teacher), "dynamic": Dynamic(temperature=3.0, spread=0.0)})
    plain = Distiller(mlp(0), {"soft": Term(KLDivergence(temperature=3.0))}, {"teacher": Frozen(teacher)})
    for distiller in (dynamic_one, plain):
        distiller.prepare([batch])
        distiller(batch).loss().backward()
        distiller.after_step()
    torch.testing.assert_close(gradients(dynamic_one), gradients(plain), rtol=0, atol=0)
    torch.testing.assert_close(dynamic_one(batch).loss(), plain(batch).loss(), rtol=0, atol=0)


def test_rows_of_weight_0_have_no_gradient_and_count() -> None:
    class Sure(nn.Module):
        """Certain of its class in the first rows."""

        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(0)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            logits = self.net(inputs)
            sure = torch.tensor([1e4, 0.0, 0.0, 0.0], dtype=logits.dtype) + 0 * logits
            return torch.where(torch.arange(len(inputs))[:, None] < 4, sure + logits, logits)

    batch, teachers = make_batch(9), {"teacher": Frozen(mlp(1)), "dynamic": Dynamic()}
    student = Sure()
    distiller = Distiller(student, {"soft": Term(KLDivergence(), scale="dynamic.weight")}, teachers)
    mean = distiller(batch).terms["soft"]
    assert mean.count == 9
    mean.sum.backward()
    found = gradients(student.net)
    student.zero_grad()
    weight = torch.tensor(uncertainty(student(batch["inputs"]).detach().numpy()[4:]))
    log_q = student(batch["inputs"])[4:].log_softmax(-1)
    divergence = nn.functional.kl_div(log_q, mlp(1)(batch["inputs"])[4:].softmax(-1), reduction="none").sum(-1)
    (divergence * weight).sum().backward()
    torch.testing.assert_close(found, gradients(student.net))


class Given(nn.Module):
    reads = ("batch.given",)

    def forward(self, board):
        return {"logits": board["batch"]["given"]}


def test_masked_rows_reach_neither_values_nor_the_mean() -> None:
    batch = make_batch(12)
    batch["given"] = mlp(1)(batch["inputs"]).detach()
    batch["given"][:3] = torch.nan
    batch["admitted"][:3] = False
    terms = {"soft": Term(KLDivergence(), ROW, where="batch.admitted")}
    found = []
    for rows in (batch, rows_of_batch(batch, 3, 12)):
        source = Dynamic(by="agreement", temperature=3.0)
        distiller = Distiller(mlp(0), terms, {"teacher": Given(), "dynamic": source})
        for _ in range(2):
            distiller.zero_grad()
            distiller(rows).loss().backward()
            distiller.after_step()
        found.append({**gradients(distiller), "centre": source.centre})
    torch.testing.assert_close(*found)
    assert all(value.isfinite().all() and value.any() for value in found[0].values())


def test_the_mean_is_over_the_rows_of_a_mask() -> None:
    z = np.random.default_rng(3).normal(size=(4, 3, 5))
    mask = torch.arange(12).reshape(4, 3) % 2 == 0
    for chosen in (mask, mask[:, 0]):
        source = Dynamic(where="batch.mask")
        source({"student": {"logits": torch.tensor(z)}, "batch": {"mask": chosen}})
        source.after_step(1)
        mean = confusion("confidence", z[chosen.numpy()], z, 1.0).mean()
        assert source.centre.item() == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("by", ["confidence", "agreement"])
def test_the_split_of_a_batch_changes_nothing(by: str) -> None:
    whole, parted = dynamic_steps(dynamic(by), ((0, 24),)), dynamic_steps(dynamic(by), sum(PARTS_OF_ROWS, ()))
    assert whole.keys() == parted.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parted[name], value, rtol=1e-5, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}")
    assert whole["_teacher_modules._dynamic.centre"] > 0


def test_two_processes_are_one(ranks: Ranks) -> None:
    whole = dynamic_steps(dynamic("agreement"), ((0, 24),))
    one, two = ranks(tasks.dynamic_half)
    for name, value in whole.items():
        assert torch.equal(one[name], two[name]), name
        torch.testing.assert_close(one[name], value, rtol=1e-5, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}")


def test_compiled_it_is_one_graph_and_the_same() -> None:
    eager, compiled = dynamic("agreement"), dynamic("agreement")
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    step = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    batch = make_batch(12)
    for _ in range(3):
        torch.testing.assert_close(step(batch).loss(), eager(batch).loss())
        for distiller in (eager, compiled):
            distiller.after_step()
    assert compiled.teachers["dynamic"].centre > 0
    torch.testing.assert_close(compiled.teachers["dynamic"].centre, eager.teachers["dynamic"].centre)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_its_mean_is_state_and_eval_and_prepare_leave_it_alone() -> None:
    distiller = dynamic("confidence").prepare([make_batch(6)])
    source = distiller.teachers["dynamic"]
    distiller.eval()(make_batch(6))
    with torch.no_grad():
        distiller.train()(make_batch(6))
    distiller.after_step()
    assert source.centre == 0
    distiller(make_batch(6))
    twin = copy.deepcopy(distiller)
    distiller.after_step()
    assert twin.teachers["dynamic"].centre == 0
    other = dynamic("confidence")
    other.load_state_dict(distiller.state_dict())
    assert other.teachers["dynamic"].centre == source.centre > 0
    before = source.centre.clone()
    assert torch.equal(distiller.bfloat16().teachers["dynamic"].centre, before)


def test_two_supervisions_take_turns_as_the_student_learns() -> None:
    batch = make_batch(8)
    terms = {
        "soft": Term(KLDivergence(), scale="dynamic.weight"),
        "hard": Term(CE(), scale="dynamic.certainty"),
    }
    step = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1)), "dynamic": Dynamic()})(batch)
    u = torch.tensor(uncertainty(mlp(0)(batch["inputs"]).detach().numpy()))
    hard = nn.functional.cross_entropy(mlp(0)(batch["inputs"]), batch["target"], reduction="none")
    torch.testing.assert_close(step.terms["hard"].sum, ((1 - u) * hard).sum())


def sparse() -> SparseLogits:
    return SparseLogits(indices=torch.zeros(2, 1, dtype=torch.int64), values=torch.zeros(2, 1), tail=None, classes=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "entropy"}, "by='entropy'; it is 'confidence' or 'agreement'"),
        ({"temperature": 0.5}, r"lowest is 1\.0 and temperature 0\.5; expected 0 < lowest"),
        ({"temperature": float("nan")}, "expected 0 < lowest"),
        ({"lowest": 0.0}, "expected 0 < lowest"),
        ({"spread": -1.0}, r"spread is -1\.0; expected a finite number of at least 0"),
        ({"power": 0.0}, r"power is 0\.0; expected a finite number above 0"),
        ({"where": "teacher.mask"}, "the mask is read from the batch"),
    ],
)
def test_settings_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Dynamic(**options)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (torch.zeros(2, 1), torch.zeros(2, 1), r"'student.logits' is \[2, 1\]; expected at least 2 classes"),
        (torch.zeros(2, 3), torch.zeros(2, 4), r"is \[2, 3\] and 'teacher.logits' \[2, 4\]; by agreement"),
        (torch.zeros(2, 3), sparse(), "needs all logits, and those of 'teacher.logits' are sparse"),
    ],
)
def test_logits_that_do_not_fit(student: torch.Tensor, teacher: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Dynamic(by="agreement")({"student": {"logits": student}, "teacher": {"logits": teacher}})


def test_a_temperature_of_rows_is_for_losses_that_have_one() -> None:
    with pytest.raises(ArgumentError, match="CrossEntropy has no argument 'temperature'"):
        Term(CrossEntropy(), ROW)
