"""Taps of every kind: the same tensors and gradients however the model is run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo.utils

from core.ranks import Ranks
from core.tap_cases import ROWS, TAP_CASES, TapCase, checkpointed, gradients_of, part, taps_of_half
from limbeck.core import Distiller, Tapped
from limbeck.errors import AddressError
from refusals import refused

pytestmark = pytest.mark.parametrize("case", TAP_CASES, ids=str)


def run(case: TapCase, distiller: Any, batch: Any) -> tuple[dict, dict]:
    out = distiller(batch)
    out.loss().backward()
    return case.read(out.outputs["student"]), gradients_of(model_of(distiller))


def model_of(distiller: Distiller) -> torch.nn.Module:
    return distiller.students["student"].model


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_eager(case: TapCase) -> None:
    found = run(case, case.distiller(case.built()), case.batch())
    expected = case.by_hand(case.built(), case.batch())
    close(found, expected)
    assert all(gradient.any() for gradient in expected[1].values())


def test_compiled_in_one_graph(case: TapCase) -> None:
    compiled_in_one_graph(case, "aot_eager")


@pytest.mark.slow
def test_compiled_by_inductor(case: TapCase) -> None:
    compiled_in_one_graph(case, "inductor")


def compiled_in_one_graph(case: TapCase, backend: str) -> None:
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    distiller, batch = case.distiller(case.built()), case.batch()
    compiled = torch.compile(distiller.prepare([batch]), fullgraph=True, backend=backend)
    out = compiled(batch)
    out.loss().backward()
    found = case.read(out.outputs["student"]), gradients_of(model_of(distiller))
    close(found, case.by_hand(case.built(), batch))
    counted = torch._dynamo.utils.counters
    assert not counted["graph_break"]
    assert counted["stats"]["unique_graphs"] == 1


def test_compiled_counts_no_graph_break(case: TapCase) -> None:
    torch.compiler.reset()
    explained = torch._dynamo.explain(case.distiller(case.built()).prepare([case.batch()]))(case.batch())
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons


def test_two_processes(case: TapCase, ranks: Ranks) -> None:
    tensors, gradients = case.by_hand(case.built(), case.batch())
    first, second = ranks(taps_of_half, case.name)
    together = {
        address: tuple(torch.cat(pair) for pair in zip(first[0][address], second[0][address], strict=True))
        for address in tensors
    }
    close((together, first[1]), (tensors, gradients))
    close(second[1], gradients)


@pytest.mark.parametrize("place", ["block", "inside"])
def test_checkpointed(case: TapCase, place: str) -> None:
    model = checkpointed(case.built(), case.block, reentrant=False)
    found = run(case, case.distiller(model), case.batch())
    close(found, case.by_hand(case.built(), case.batch()))
    for path in (getattr(case, place), f"{getattr(case, place)}:input"):
        # The gradient of a tap alone, with nothing else on the way.
        taps = {"own": path}
        own = [
            torch.autograd.grad(
                Tapped(one, taps)(case.batch()["inputs"])["own"].square().sum(),
                list(one.parameters()),
                allow_unused=True,
            )
            for one in (case.built(), checkpointed(case.built(), case.block, reentrant=False))
        ]
        close(own[1], own[0])


def test_checkpointed_reentrant_is_an_error_that_names_it(case: TapCase) -> None:
    tapped = Tapped(checkpointed(case.built(), case.block, reentrant=True), {"own": case.inside})
    with refused(AddressError, "unsupported", "own"):
        tapped(case.batch()["inputs"])


def test_autocast(case: TapCase) -> None:
    batch = case.batch(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = case.distiller(distilled := case.built(torch.float32))(batch)
        tensors, gradients = case.by_hand(model := case.built(torch.float32), batch)
    out.loss().backward()
    found = case.read(out.outputs["student"])
    close((found, gradients_of(distilled)), (tensors, gradients))
    assert model is not distilled
    assert torch.bfloat16 in {value.dtype for values in found.values() for value in values}
    assert {mean.sum.dtype for mean in out.terms.values()} == {torch.float32}


def test_accumulated(case: TapCase) -> None:
    batch, distiller = case.batch(), case.distiller(case.built())
    parts = [part(batch, 0, 2), part(batch, 2, ROWS)]
    distiller.prepare(parts[:1])
    counts = distiller.counts(parts)
    read = []
    for one in parts:
        out = distiller(one)
        out.loss(counts).backward()
        read.append(case.read(out.outputs["student"]))
    tensors, gradients = case.by_hand(case.built(), batch)
    close(gradients_of(model_of(distiller)), gradients)
    close({a: tuple(torch.cat(p) for p in zip(*(r[a] for r in read), strict=True)) for a in tensors}, tensors)
