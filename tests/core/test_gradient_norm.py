from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from core import balance_ranks as tasks
from core.balance_ranks import make, train
from core.objective import PARTS, ROWS, whole_batch
from core.ranks import Ranks
from core.toys import CE, KL, make_batch, mlp
from limbeck.core import Distiller, GradientNorm, Linear, Mean, Tapped, Term
from limbeck.errors import AddressError, ArgumentError
from limbeck.losses import MSELogits
from limbeck.teachers import Frozen
from oracles.gradient_norm import equal_weights, norm, smoothed, two_weights
from refusals import refused

WHOLE = ((0, ROWS),)


def softmax(rows: np.ndarray) -> np.ndarray:
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def norms_by_hand(distiller: Distiller) -> dict[str, float]:
    """The three means of `balance_ranks.make` as functions of the hidden values, differentiated by differences."""
    batch = {name: value.numpy() for name, value in whole_batch().items()}
    student = distiller.students["student"].model
    with torch.no_grad():
        hidden = student[:2](whole_batch()["inputs"]).numpy()
        wanted, logits = (mlp(1)[:n](whole_batch()["inputs"]).numpy() for n in (2, 3))
    weight, bias = (p.detach().numpy() for p in (student[2].weight, student[2].bias))
    labelled = batch["admitted"] & (batch["target"] != -100)

    def hard(h):
        p = softmax(h @ weight.T + bias)[labelled]
        return -np.log(p[np.arange(len(p)), batch["target"][labelled]]).mean()

    def soft(h):
        q, p = softmax((h @ weight.T + bias) / 2), softmax(logits / 2)
        return 4 * (p * np.log(p / q)).sum(1).mean()

    def hint(h):
        squares = ((h - wanted) ** 2).mean(1) * batch["confidence"]
        return squares[batch["chosen"]].mean()

    return {"hard": norm(hard, hidden), "soft": norm(soft, hidden), "hint": norm(hint, hidden)}


def factors(distiller: Distiller) -> dict[str, float]:
    return dict(zip(distiller.balance.terms, distiller.balance.factors.tolist(), strict=True))


def test_norms_are_those_of_finite_differences_and_weights_make_them_equal() -> None:
    distiller, optimizer = make("gradient_norm")
    expected = norms_by_hand(distiller)
    assert factors(distiller) == dict.fromkeys(expected, pytest.approx(1 / 3))
    train(distiller, optimizer, WHOLE, 1)
    assert distiller.readings()["gradient_norms"] == pytest.approx(expected, rel=1e-5)
    assert factors(distiller) == pytest.approx(dict(zip(expected, equal_weights([*expected.values()]), strict=True)))
    weighted = [factors(distiller)[name] * value for name, value in expected.items()]
    assert weighted == pytest.approx([weighted[0]] * 3, rel=1e-5)


def two(soft: float = 1.0, **options) -> Distiller:
    terms = {"hard": Term(CE()), "soft": Term(KL(), weight=soft)}
    teachers = {"teacher": Frozen(mlp(1))}
    return Distiller(mlp(0), terms, teachers, balance=GradientNorm(**{"smoothing": 0.0, **options}))


def logits_norms(distiller: Distiller, batch) -> tuple[float, float]:
    """In closed form: (softmax − one) / n of cross-entropy, T (q − p) / n of the divergence at T = 2."""
    with torch.no_grad():
        student, teacher = (model(batch["inputs"]).numpy() for model in (distiller.students["student"].model, mlp(1)))
    ones = np.eye(4)[batch["target"].numpy()]
    hard = np.linalg.norm(softmax(student) - ones) / len(ones)
    soft = np.linalg.norm(2 * (softmax(student / 2) - softmax(teacher / 2))) / len(ones)
    return float(hard), float(soft)


def test_two_terms_have_the_closed_form() -> None:
    distiller, batch = two(), make_batch(9)
    hard, soft = logits_norms(distiller, batch)
    distiller(batch)
    distiller.after_step()
    assert list(factors(distiller).values()) == pytest.approx(two_weights(hard, soft), rel=1e-6)
    out = distiller(batch)
    by_hand = (
        two_weights(hard, soft)[0] * out.terms["hard"].value + two_weights(hard, soft)[1] * out.terms["soft"].value
    )
    torch.testing.assert_close(out.loss(), by_hand, rtol=1e-6, atol=0)


def test_the_gradients_of_the_loss_have_one_norm_and_own_weights_are_their_ratio() -> None:
    batch = make_batch(9)
    for weight in (1.0, 3.0):
        distiller = two(weight)
        distiller(batch)
        distiller.after_step()
        out = distiller(batch)
        logits = out.outputs["student"]["logits"]
        norms = [
            torch.autograd.grad(out.weights.per_term[name] * mean.value, logits, retain_graph=True)[0].norm().item()
            for name, mean in out.terms.items()
        ]
        assert norms[1] / norms[0] == pytest.approx(weight, rel=1e-6)


def test_norms_are_smoothed_with_bias_correction_and_measured_every_k_steps() -> None:
    distiller = two(smoothing=0.7, every=3)
    seen: list[tuple[float, float]] = []
    for step in range(8):
        batch = make_batch(9, seed=step)
        before = factors(distiller)
        if step % 3 == 0:
            seen.append(logits_norms(distiller, batch))
        distiller(batch)
        assert factors(distiller) == before
        distiller.after_step()
        hard, soft = (smoothed(list(norms), 0.7) for norms in zip(*seen, strict=True))
        assert list(factors(distiller).values()) == pytest.approx(two_weights(hard, soft), rel=1e-5)
        assert (factors(distiller) != before) == (step % 3 == 0)


@pytest.mark.parametrize("zero", [0, 1])
def test_a_gradient_of_0_leaves_the_weights_as_they_were(zero: int) -> None:
    distiller, batch = two(), make_batch(9)
    nothing = dict(batch)
    if zero == 0:
        nothing["target"] = torch.full_like(batch["target"], -100)
    distiller(batch)
    distiller.after_step()
    before = factors(distiller)
    if zero == 1:
        distiller.teachers["teacher"].model.model.load_state_dict(distiller.students["student"].model.state_dict())
    distiller(nothing)
    distiller.after_step()
    # The other term is measured again, on the same rows, and comes to the same norm.
    assert factors(distiller) == pytest.approx(before, rel=1e-6)
    assert all(0.01 < value < 0.99 for value in before.values())
    distiller(nothing).loss().backward()
    assert all(p.grad.isfinite().all() for p in distiller.students["student"].model.parameters())


def test_a_term_without_a_gradient_yet_has_an_equal_share_and_the_rest_is_balanced() -> None:
    distiller, _ = make("gradient_norm")
    batch = whole_batch()
    batch["admitted"][:] = False
    expected = norms_by_hand(distiller)
    distiller(batch)
    distiller.after_step()
    weights = dict(zip(("soft", "hint"), equal_weights([expected["soft"], expected["hint"]]), strict=True))
    wanted = {"hard": 1 / 3, **{name: 2 / 3 * weight for name, weight in weights.items()}}
    assert factors(distiller) == pytest.approx(wanted, rel=1e-5)
    assert set(distiller.readings()["gradient_norms"]) == {"soft", "hint"}


def test_no_gradient_at_all_leaves_equal_weights() -> None:
    distiller = two()
    assert distiller.readings() == {}
    distiller.after_step()
    assert list(factors(distiller).values()) == [0.5, 0.5]


@pytest.mark.parametrize("scale", [1e-30, 1e30, torch.inf, torch.nan])
def test_extreme_norms_give_finite_weights(scale: float) -> None:
    balance = GradientNorm(smoothing=0.0)
    balance.bind(["student"], ["small", "one"])
    logits = torch.ones(2, requires_grad=True)
    one = torch.ones(())
    balance({"small": Mean(scale * logits.sum(), one), "one": Mean(logits.sum(), one)}, {"student": {"logits": logits}})
    balance.after_step(1)
    assert balance.factors.isfinite().all()
    assert balance.factors.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["gradient_norm", "uncertainty"])
def test_three_micro_batches_are_the_whole_batch(name: str) -> None:
    whole, split = make(name), make(name)
    train(*whole, WHOLE, 4)
    train(*split, (*PARTS[0], *PARTS[1]), 4)
    assert_same(split[0].state_dict(), whole[0].state_dict())


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Norms and weights are float32; what trains with them differs as much.
        torch.testing.assert_close(
            found[name], value, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("static", [False, True], ids=["micro-batches", "static graph"])
@pytest.mark.parametrize("name", ["gradient_norm", "uncertainty", "tempered"])
def test_two_processes_are_one(ranks: Ranks, name: str, static: bool) -> None:
    distiller, optimizer = tasks.tempered() if name == "tempered" else make(name)
    before = {key: value.clone() for key, value in distiller.state_dict().items()}
    train(distiller, optimizer, WHOLE, 4)
    one, two = ranks(tasks.train_half, name, 4, static)
    assert any(not torch.equal(one[key], value) for key, value in before.items() if "balance" in key or "level" in key)
    for key, value in one.items():
        assert torch.equal(two[key], value), key
    assert_same(one, {**distiller.state_dict(), **dict(distiller.named_buffers())})


@pytest.mark.parametrize("name", ["gradient_norm", "uncertainty"])
@pytest.mark.parametrize("done", [2, 3])
def test_resuming_is_exact(name: str, done: int) -> None:
    options = {"every": 3} if name == "gradient_norm" else {}
    distiller, optimizer = make(name, **options)
    train(distiller, optimizer, PARTS[0], done)
    saved, state = copy.deepcopy(distiller.state_dict()), copy.deepcopy(optimizer.state_dict())
    train(distiller, optimizer, PARTS[0], 4)
    resumed, other = make(name, **options)
    resumed.load_state_dict(saved)
    other.load_state_dict(state)
    train(resumed, other, PARTS[0], 4)
    for key, value in distiller.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@pytest.mark.parametrize("name", ["gradient_norm", "uncertainty"])
def test_a_copy_is_independent(name: str) -> None:
    distiller, optimizer = make(name)
    train(distiller, optimizer, WHOLE, 1)
    distiller(whole_batch())
    twin = copy.deepcopy(distiller)
    before = {key: value.clone() for key, value in twin.state_dict().items()}
    train(distiller, optimizer, WHOLE, 2)
    for key, value in twin.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert any(not torch.equal(value, before[key]) for key, value in distiller.state_dict().items() if "balance" in key)


def test_nothing_is_measured_in_eval_mode_without_gradients_or_in_prepare() -> None:
    distiller, _ = make("gradient_norm")
    distiller.eval()(whole_batch())
    with torch.no_grad():
        distiller.train()(whole_batch())
    distiller.after_step()
    assert distiller.readings() == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_cast_model_does_not_round_the_weights(dtype: torch.dtype) -> None:
    distiller, optimizer = make("gradient_norm")
    train(distiller, optimizer, WHOLE, 1)
    before = distiller.balance.factors.clone()
    distiller.to(dtype)
    assert torch.equal(distiller.balance.factors, before)
    batch = {key: value.to(dtype) if value.is_floating_point() else value for key, value in whole_batch().items()}
    distiller(batch).loss().backward()


def test_terms_that_are_left_out_have_the_factor_1() -> None:
    distiller, _ = make("gradient_norm", at="student.logits", terms=["soft", "hard"])
    out = distiller(whole_batch())
    assert out.weights.per_term["hint"] == pytest.approx(0.2)
    assert out.weights.per_term["soft"] == pytest.approx(0.5 * 0.5)
    distiller.after_step()
    assert set(distiller.readings()["gradient_norms"]) == {"soft", "hard"}


def test_a_term_that_is_not_computed_from_the_tensor_is_told_in_prepare() -> None:
    with refused(
        ArgumentError, "no_effect", "at", match=r"the term 'hint' does not depend on 'student\.logits'; .*terms="
    ):
        make("gradient_norm", at="student.logits")


def arranged(balance: GradientNorm) -> Distiller:
    terms = {"hard": Term(CE()), "soft": Term(MSELogits())}
    return Distiller(Tapped(mlp(0), {"hidden": "1"}), terms, {"teacher": Frozen(mlp(1))}, balance=balance)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"at": "studnet.logits"}, "no student 'studnet'. Did you mean 'student'?"),
        ({"at": "teacher.logits"}, "no student 'teacher'"),
        ({"at": "student.parameters.0.weight"}, "is a parameter"),
        ({"terms": ["hard", "sotf"]}, "no term 'sotf'. Did you mean 'soft'?"),
        ({"terms": ["hard"]}, "at least two"),
        ({"terms": ["hard", "hard"]}, "each once"),
        ({"terms": []}, "at least two"),
        ({"every": 0}, "every is 0"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
    ],
)
def test_names_and_ranges_are_checked_when_it_is_built(options: dict, told: str) -> None:
    with pytest.raises(ArgumentError, match="gradient_norm.*" + told.replace("?", r"\?")):
        arranged(GradientNorm(**options))


def test_addresses_are_checked_in_prepare() -> None:
    with pytest.raises(AddressError, match="Did you mean 'hidden'"):
        arranged(GradientNorm(at="student.hiden")).prepare([make_batch(3)])

    class Counting(nn.Sequential):
        def forward(self, inputs):
            return {"logits": super().forward(inputs), "count": torch.tensor(3), "parts": (1, 2)}

    terms = {"hard": Term(CE()), "soft": Term(MSELogits())}
    for name, kind in (("count", "torch.int64"), ("parts", "tuple")):
        balance = GradientNorm(at=f"student.{name}")
        distiller = Distiller(Counting(*mlp(0)), terms, {"teacher": Frozen(mlp(1))}, balance=balance)
        with pytest.raises(ArgumentError, match=f"holds {kind}; name one floating tensor"):
            distiller.prepare([make_batch(3)])


def test_it_compiles_whole_with_one_graph_for_measuring_and_one_for_not() -> None:
    eager, optimizer = make("gradient_norm", every=2)
    twin, other = make("gradient_norm", every=2)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        train(eager, optimizer, (*PARTS[0][:1], *PARTS[1][1:2]), 5)
        train(twin, other, (*PARTS[0][:1], *PARTS[1][1:2]), 5, Compiled(compiled))
    assert_same(twin.state_dict(), eager.state_dict())


class Compiled(nn.Module):
    """With the context that `train` asks of a wrapper."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model(batch)

    def no_sync(self):
        return torch.enable_grad()


def test_compiled_without_the_setting_it_says_what_to_set() -> None:
    distiller, _ = make("gradient_norm")
    torch.compiler.reset()
    with pytest.raises(ArgumentError, match=r"^gradient_norm differentiates .* torch\._dynamo\.config\.trace_autograd"):
        torch.compile(distiller, backend="aot_eager")(whole_batch())


def test_a_student_that_is_compiled_alone_is_told() -> None:
    torch.compiler.reset()
    student = Tapped(mlp(0), {"hidden": "1"})
    terms = {"hard": Term(CE()), "soft": Term(KL())}
    balance = GradientNorm(at="student.hidden")
    distiller = Distiller(student, terms, {"teacher": Frozen(mlp(1))}, balance=balance)
    student.compile(backend="aot_eager")
    with refused(
        ArgumentError, "no_effect", "at", match=r"does not depend on 'student\.hidden'; its model is compiled alone"
    ):
        distiller.prepare([make_batch(4)])


def test_schedules_go_on_beside_it() -> None:
    terms = {"hard": Term(CE()), "soft": Term(KL(), weight=Linear(start=1.0, end=0.0, steps=2))}
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))}, balance=GradientNorm())
    for step in range(3):
        out = distiller(make_batch(5, seed=step))
        weights = [float(weight) for weight in out.weights.per_term.values()]
        own = [1.0, max(0.0, 1.0 - step / 2)]
        assert weights == pytest.approx([f * w for f, w in zip(factors(distiller).values(), own, strict=True)])
        out.loss().backward()
        distiller.after_step()
