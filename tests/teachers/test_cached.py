from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import default_convert

from core.toys import CLASSES, FEATURES, KL, Squared, gradients, mlp
from limbeck.cache import CachedRows, CacheReader, Manifest, build, fields_of
from limbeck.core import Distiller, Teacher, Term
from limbeck.core.addresses import map_tensors
from limbeck.errors import AddressError, ArgumentError
from limbeck.functional import SparseLogits
from limbeck.losses import KLDivergence, MSELogits, ReverseKL, SoftCrossEntropy
from limbeck.registry import lookup
from limbeck.teachers import Cached, Frozen
from refusals import refused

ROWS, VIEWS = 40, 2


def inputs(rows: Tensor, views: Tensor) -> Tensor:
    """Rows with an augmentation that is a function of (row, view)."""
    plain = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0))
    moves = 0.3 * torch.randn(ROWS, VIEWS, FEATURES, generator=torch.Generator().manual_seed(1))
    return plain[rows] + moves[rows, views]


def live() -> Frozen:
    return Frozen(mlp(1, torch.float32), {"hidden": "1"})


def cached_rows(folder: Path, codec: dict[str, Any]) -> CachedRows:
    teacher = live()

    def outputs(rows: Tensor, views: Tensor) -> Any:
        return teacher({"batch": {"inputs": inputs(rows, views)}})

    fields = fields_of(outputs(torch.tensor([0]), torch.tensor([0])), {"logits": codec, "hidden": {"use": "float32"}})
    build(folder, Manifest(fields, rows=ROWS, views=VIEWS, batch_size=8), outputs)
    return CachedRows({"teacher": CacheReader(folder)})


def batch(cached: CachedRows, size: int = 12, epoch: int = 5) -> dict[str, Any]:
    """As a loader would make it: the view is the epoch modulo the number of views, for pixels and cache alike."""
    rows = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))[:size]
    views = torch.full_like(rows, epoch % cached.views)
    return {"inputs": inputs(rows, views), "row": rows, "view": views, "cached": cached(rows, views)}


def distiller(terms: dict[str, Term], teacher: Teacher) -> Distiller:
    return Distiller(mlp(0, torch.float32), terms, {"teacher": teacher})


def step(model: Distiller, data: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    loss = model.prepare([data])(data).loss()
    loss.backward()
    return loss.detach(), gradients(model)


def terms() -> dict[str, Term]:
    """The same terms, whether the teacher is live or cached."""
    hint = {"student": "student.logits", "teacher": "teacher.hidden"}
    return {"soft": Term(KL()), "hint": Term(Narrow(), hint)}


class Narrow(Squared):
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return super().forward(student, teacher[:, :CLASSES])


@pytest.mark.parametrize(("codec", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_a_step_from_the_cache_is_that_of_the_live_teacher(tmp_path: Path, codec: str, tolerance: float) -> None:
    data = batch(cached_rows(tmp_path, {"use": codec}))
    loss, found = step(distiller(terms(), Cached("teacher")), data)
    expected_loss, expected = step(distiller(terms(), live()), {k: v for k, v in data.items() if k != "cached"})
    torch.testing.assert_close(loss, expected_loss, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_another_view_is_another_answer(tmp_path: Path) -> None:
    cached = cached_rows(tmp_path, {"use": "float32"})
    data = batch(cached)
    wrong = {**data, "cached": cached(data["row"], 1 - data["view"])}
    assert not torch.allclose(step(distiller(terms(), Cached()), data)[0], step(distiller(terms(), Cached()), wrong)[0])


@pytest.mark.parametrize("loss", [KLDivergence, SoftCrossEntropy, ReverseKL])
def test_sparse_logits_with_all_classes_give_the_step_of_the_live_teacher(tmp_path: Path, loss: type) -> None:
    data = batch(cached_rows(tmp_path, {"use": "topk", "k": CLASSES, "temperature": 2.0}))
    assert isinstance(data["cached"]["teacher"]["logits"], SparseLogits)
    soft = {"soft": Term(loss(temperature=2.0))}
    value, found = step(distiller(soft, Cached()), data)
    expected_value, expected = step(distiller(copy.deepcopy(soft), live()), data)
    torch.testing.assert_close(value, expected_value, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_masked_rows_of_sparse_logits_count_nothing(tmp_path: Path) -> None:
    data = batch(cached_rows(tmp_path, {"use": "topk", "k": 2, "temperature": 2.0}))
    data["labelled"] = torch.arange(12) % 3 == 0
    logits = data["cached"]["teacher"]["logits"]
    spoilt = logits._replace(values=logits.values.where(data["labelled"][:, None], torch.nan))
    masked = {**data, "cached": {"teacher": {**data["cached"]["teacher"], "logits": spoilt}}}
    value, found = step(
        distiller({"soft": Term(KLDivergence(temperature=2.0), where="batch.labelled")}, Cached()), masked
    )
    subset = map_tensors(data, lambda tensor: tensor[data["labelled"]])
    expected_value, expected = step(distiller({"soft": Term(KLDivergence(temperature=2.0))}, Cached()), subset)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("codec", [{"use": "topk", "k": 2}, {"use": "sampled", "size": 4}])
def test_a_loss_that_needs_all_logits_is_refused_by_prepare(tmp_path: Path, codec: dict[str, Any]) -> None:
    data = batch(cached_rows(tmp_path, codec))
    with refused(ArgumentError, "unsupported", "terms.soft.teacher") as raised:
        distiller({"soft": Term(MSELogits())}, Cached()).prepare([data])
    assert raised.value.__notes__ == ["in the term 'soft'"]


@pytest.mark.parametrize("address", ["student", "teacher"])
def test_a_loss_takes_sparse_logits_only_where_it_says_so(tmp_path: Path, address: str) -> None:
    data = batch(cached_rows(tmp_path, {"use": "topk", "k": 2}))
    reads = {"student": "student.logits", "teacher": "student.logits", address: "teacher.logits"}
    model = distiller({"soft": Term(KLDivergence(), reads, detach=[])}, Cached())
    if address == "teacher":
        assert model.prepare([data])(data).loss().isfinite()
    else:
        with refused(ArgumentError, "unsupported", "terms.soft.student"):
            model.prepare([data])


def test_another_temperature_is_refused_by_prepare(tmp_path: Path) -> None:
    data = batch(cached_rows(tmp_path, {"use": "topk", "k": 2, "temperature": 4.0}))
    with refused(ArgumentError, "mismatch", "terms.soft.temperature"):
        distiller({"soft": Term(KLDivergence(temperature=2.0))}, Cached()).prepare([data])


def test_a_sample_is_refused_by_the_divergence_that_it_makes_infinite(tmp_path: Path) -> None:
    data = batch(cached_rows(tmp_path, {"use": "sampled", "size": 4}))
    with refused(ArgumentError, "unsupported", "terms.soft.teacher"):
        distiller({"soft": Term(ReverseKL())}, Cached()).prepare([data])


def test_the_temperature_and_the_classes_go_where_the_tensors_go() -> None:
    logits = SparseLogits(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3), torch.zeros(2), 9, 4.0)
    for moved in (map_tensors(logits, Tensor.double), default_convert(logits)):
        assert isinstance(moved, SparseLogits)
        assert (moved.classes, moved.temperature) == (9, 4.0)
        assert map_tensors(moved._replace(tail=None), Tensor.float).tail is None


def test_compiled_whole_with_sparse_logits(tmp_path: Path) -> None:
    data = batch(cached_rows(tmp_path, {"use": "topk", "k": 2, "temperature": 2.0}))
    model = distiller({"soft": Term(KLDivergence(temperature=2.0))}, Cached()).prepare([data])
    torch.compiler.reset()
    compiled = torch.compile(lambda one: model(one).loss(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(data), model(data).loss())


def test_what_the_loader_did_not_read_is_told() -> None:
    model = Distiller(nn.Linear(3, 2), {"soft": Term(KL())}, {"teacher": Cached("large")})
    with refused(AddressError, "unknown_name", "teachers.teacher"):
        model.prepare([{"inputs": torch.zeros(4, 3)}])


def test_its_name() -> None:
    assert lookup("teacher", "cached") is Cached
    assert Cached("large").reads == ("batch.cached.large",)
    with pytest.raises(ArgumentError, match=r"the teacher name 'a\.b' must match"):
        Cached("a.b")


def test_numbered_outputs_stand_as_a_tuple_too_unless_one_is_missing() -> None:
    kept = {"logits": 0, "maps.0": 1, "maps.1": 2, "states.1": 3, "blocks.10": 5, "deep.maps.0": 6}
    kept |= {f"blocks.{number}": number for number in range(10)}
    outputs = Cached("teacher")({"batch": {"cached": {"teacher": kept}}})
    assert outputs == {**kept, "maps": (1, 2), "blocks": (*range(10), 5), "deep.maps": (6,)}
