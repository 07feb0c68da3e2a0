from __future__ import annotations

import copy
import math

import pytest
import torch

from core.toys import CE, KL, make_batch, mlp
from limbeck.core import Distiller, Linear, Term, Uncertainty
from limbeck.teachers import Frozen

BATCH = make_batch(9)


def make(hard: float = 1.0, soft: object = 1.0) -> Distiller:
    terms = {"hard": Term(CE(), weight=hard), "soft": Term(KL(), weight=soft)}
    return Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))}, balance=Uncertainty())


def test_it_begins_with_the_terms_own_weights() -> None:
    terms = {"hard": Term(CE(), weight=0.3), "soft": Term(KL(), weight=0.7)}
    fixed = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))})
    torch.testing.assert_close(make(0.3, 0.7)(BATCH).loss(), fixed(BATCH).loss())


def test_loss_and_gradients_are_those_of_the_equation() -> None:
    distiller = make(0.3, 0.7)
    s = [0.4, -1.1]
    with torch.no_grad():
        distiller.balance.log_variance.copy_(torch.tensor(s))
    out = distiller(BATCH)
    values = [mean.value.item() for mean in out.terms.values()]
    by_hand = sum(w * (math.exp(-a) * v + a / 2) for w, a, v in zip((0.3, 0.7), s, values, strict=True))
    assert out.loss().item() == pytest.approx(by_hand, rel=1e-6)
    assert [w.item() for w in out.weights.per_term.values()] == pytest.approx(
        [w * math.exp(-a) for w, a in zip((0.3, 0.7), s, strict=True)]
    )
    out.loss().backward()
    slopes = [w * (0.5 - math.exp(-a) * v) for w, a, v in zip((0.3, 0.7), s, values, strict=True)]
    assert distiller.balance.log_variance.grad.tolist() == pytest.approx(slopes, rel=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.2, 5.0)])
def test_it_comes_to_rest_at_half_of_the_inverse_whatever_the_own_weights(weights: tuple[float, float]) -> None:
    distiller = make(*weights)
    optimizer = torch.optim.Adam([distiller.balance.log_variance], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        out = distiller(BATCH)
        out.loss().backward()
        optimizer.step()
    factors = torch.exp(-distiller.balance.log_variance).tolist()
    assert factors == pytest.approx([1 / (2 * mean.value.item()) for mean in out.terms.values()], rel=1e-3)


def test_a_term_of_weight_0_moves_nothing() -> None:
    distiller = make(1.0, Linear(start=0.0, end=1.0, steps=2))
    distiller(BATCH).loss().backward()
    slope = distiller.balance.log_variance.grad
    assert slope[0] != 0
    assert slope[1] == 0


def test_a_half_model_weighs_in_float32() -> None:
    distiller = make().to(torch.bfloat16)
    batch = {key: value.bfloat16() if value.is_floating_point() else value for key, value in BATCH.items()}
    out = distiller(batch)
    assert all(weight.dtype == torch.float32 for weight in out.weights.per_term.values())
    out.loss().backward()
    assert distiller.balance.log_variance.grad.isfinite().all()


def test_it_is_one_graph_under_compile() -> None:
    eager = make()
    compiled = copy.deepcopy(eager)
    torch.compiler.reset()
    eager(BATCH).loss().backward()
    torch.compile(compiled, fullgraph=True, backend="aot_eager")(BATCH).loss().backward()
    torch.testing.assert_close([p.grad for p in compiled.parameters()], [p.grad for p in eager.parameters()])
