"""A student of two layers taught by a teacher of four, through `Distiller`, with padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.encoders import ATTENTION_MASK, VOCABULARY, encoder, encoder_inputs
from limbeck.core import Distiller, Tapped, Term, attention_taps
from limbeck.errors import ArgumentError
from limbeck.losses import (
    AttentionScores,
    CosineHidden,
    CrossEntropy,
    HiddenStatesMSE,
    KLDivergence,
    PatientKD,
    ValueRelation,
)
from limbeck.teachers import Frozen
from refusals import refused

ROLES = ("query", "key", "value")
MASK = "batch.inputs.attention_mask"


class Layered(nn.Module):
    """A model that also returns the projections of its layers, each role as one tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        attention = attention_taps(model)
        self.depth = len(attention.query)
        taps = {f"{role}{n}": path for role in ROLES for n, path in enumerate(getattr(attention, role))}
        self.tapped = Tapped(model, taps)

    def forward(self, **inputs: Tensor) -> dict[str, Any]:
        outputs = dict(self.tapped(inputs))
        return outputs | {role: tuple(outputs[f"{role}{n}"] for n in range(self.depth)) for role in ROLES}


def addresses(*roles: str) -> dict[str, str]:
    read = {f"{side}_{role}": f"{side}.{role}" for side in ("student", "teacher") for role in roles}
    return {**read, "attention_mask": MASK}


HIDDEN = {"student": "student.hidden_states", "teacher": "teacher.hidden_states"}


def terms(layers: str) -> dict[str, Term]:
    heads = {"student_heads": 3, "teacher_heads": 4}
    return {
        "hard": Term(CrossEntropy()),
        "soft": Term(KLDivergence()),
        "hidden": Term(HiddenStatesMSE(layers=layers), HIDDEN, where=MASK),
        "cosine": Term(CosineHidden(layers=layers), HIDDEN, where=MASK),
        "patient": Term(PatientKD(layers=layers), HIDDEN),
        "scores": Term(AttentionScores(**heads, layers=layers), addresses("query", "key")),
        "maps": Term(AttentionScores(**heads, on="maps", layers=layers), addresses("query", "key")),
        "values": Term(ValueRelation(relation_heads=4, layers=layers), addresses("value")),
        "relations": Term(ValueRelation(relation_heads=2), addresses(*ROLES)),
    }


def distiller(layers: str = "uniform") -> Distiller:
    torch.manual_seed(0)
    student = Layered(encoder("bert", layers=2, width=12, heads=3, output_hidden_states=True))
    teacher = Layered(encoder("bert", layers=4, width=16, heads=4, seed=1, output_hidden_states=True))
    built = Distiller(student, terms(layers), {"teacher": Frozen(teacher)})
    return built.prepare([batch()]).eval()


def batch(**changed: Tensor) -> dict[str, Any]:
    inputs: Mapping[str, Tensor] = {**encoder_inputs("bert"), **changed}
    return {"inputs": inputs, "target": torch.tensor([0, 1, 1])}


@pytest.mark.parametrize("layers", ["uniform", "last", "skip", "auto"])
def test_one_step(layers: str) -> None:
    built = distiller(layers)
    optimizer = torch.optim.SGD(built.parameters(), lr=1e-3)
    built.attach(optimizer)
    before = built(batch())
    loss = before.loss()
    loss.backward()
    assert all(mean.value.isfinite() and mean.value > 0 for mean in before.terms.values())
    gradients = {name: parameter.grad for name, parameter in built.named_parameters()}
    # BERT's pooler feeds the classifier; only what no term reaches may be without a gradient.
    assert not [name for name, gradient in gradients.items() if gradient is None]
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    optimizer.step()
    assert built(batch()).loss() < loss
    assert built.step == 1


def test_padding_has_no_influence() -> None:
    built = distiller()
    inputs = encoder_inputs("bert")["input_ids"]
    other = torch.randint(4, VOCABULARY, inputs.shape, generator=torch.Generator().manual_seed(5))
    changed = inputs.where(ATTENTION_MASK == 1, other)
    assert not torch.equal(changed, inputs)
    expected, value = built(batch()), built(batch(input_ids=changed))
    assert not torch.allclose(
        expected.outputs["student"]["hidden_states"][1], value.outputs["student"]["hidden_states"][1]
    )
    for name, mean in expected.terms.items():
        torch.testing.assert_close(value.terms[name], mean, msg=name)
    wanted = torch.autograd.grad(expected.loss(), list(built.parameters()))
    gradients = torch.autograd.grad(value.loss(), list(built.parameters()))
    words = "tapped.model.bert.embeddings.word_embeddings.weight"
    for (name, _), gradient, other in zip(built.named_parameters(), gradients, wanted, strict=True):
        if words not in name:
            torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6, msg=name)


def test_boolean_and_integer_masks_are_the_same() -> None:
    built = distiller()
    expected, value = built(batch()), built(batch(attention_mask=ATTENTION_MASK == 1))
    for name, mean in expected.terms.items():
        torch.testing.assert_close(value.terms[name], mean, msg=name)


def test_counts_are_tokens_or_rows() -> None:
    built = distiller()
    counts = {name: mean.count.item() for name, mean in built(batch()).terms.items()}
    tokens = {"hidden", "cosine"}
    assert counts == {name: ATTENTION_MASK.sum() if name in tokens else 3 for name in counts}
    assert {name: count.item() for name, count in built.counts([batch()]).per_term.items()} == counts


def test_compiled_whole_it_is_the_same() -> None:
    built = distiller("auto")
    torch.compiler.reset()
    compiled = torch.compile(built, fullgraph=True, backend="aot_eager")
    value, expected = compiled(batch()), built(batch())
    for name, mean in expected.terms.items():
        torch.testing.assert_close(value.terms[name], mean, msg=name)
    wanted = torch.autograd.grad(expected.loss(), list(built.parameters()))
    gradients = torch.autograd.grad(value.loss(), list(built.parameters()))
    torch.testing.assert_close(gradients, wanted, rtol=1e-4, atol=1e-6)


def test_a_missing_number_of_heads_is_an_error() -> None:
    given = [torch.zeros(1, 2, 4)] * 4
    with refused(ArgumentError, "missing", "teacher_heads"):
        AttentionScores(student_heads=2)(*given)
    with refused(ArgumentError, "missing", "relation_heads"):
        ValueRelation()(*given[:2])
