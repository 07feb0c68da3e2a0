"""Every method as one row: a loss, what it reads, and its weight beside the hard loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from limbeck import Term, registry
from limbeck.core import Address, source_of
from limbeck.losses import CrossEntropy

__all__ = ["CONTROL", "LEFT_OUT", "METHODS", "PLAIN", "Method", "names_read"]

Inputs = Mapping[str, Address]

# Registered losses without a row, and why.
LEFT_OUT = {
    "binary_cross_entropy": "for rows of several classes; Fashion-MNIST has one in each",
    "cross_entropy": "the hard loss, which every row has",
    "mse_regression": "for numbers as targets; Fashion-MNIST has classes",
    "pinball": "for numbers as targets; Fashion-MNIST has classes",
    "squared_error": "for numbers as targets; Fashion-MNIST has classes",
}


@dataclass(frozen=True)
class Method:
    """A loss beside the hard loss, which has the weight 1.

    Args:
        name: of the row.
        loss: its name in the registry; None for the control.
        weight: of each term; published weights are for this reduction, divided by that of their cross-entropy.
        inputs: one mapping of arguments to addresses for each term; the default addresses if there is none.
        options: of the loss.
        published: whether the weight is from the paper or published code; another one is that of plain distillation, or
            makes the term between 1 and 10 at the first step.
        teacher: looked up in what was stored, run in every step, or run so that its taps carry gradients.
    """

    name: str
    loss: str | None
    weight: float = 1.0
    inputs: tuple[Inputs, ...] = ({},)
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = True
    teacher: Literal["stored", "live", "differentiable"] = "stored"

    def terms(self, scale: float) -> dict[str, Term]:
        """The hard term, and one for each of the inputs."""
        terms = {"hard": Term(CrossEntropy())}
        if self.loss is not None:
            for number, inputs in enumerate(self.inputs):
                loss = registry.lookup("loss", self.loss)(**self.options)
                terms[f"soft{number}"] = Term(loss, inputs, weight=scale * self.weight)
        return terms

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that decides what it does."""
        return (self.loss, self.weight, self.inputs, self.options, self.teacher)

    @property
    def reads(self) -> str:
        """What the soft terms read from the student, in words."""
        terms = {name: term for name, term in self.terms(1.0).items() if name != "hard"}
        return ", ".join(sorted(names_read(terms, "student")))


def names_read(terms: Mapping[str, Term], source: str) -> set[str]:
    """The first part of everything that terms read from a source."""
    addresses = [address for term in terms.values() for address in term.addresses]
    return {address.split(".")[1] for address in addresses if source_of(address) == source}


def both(tap: str) -> Inputs:
    """The same tap of student and teacher."""
    return {"student": f"student.{tap}", "teacher": f"teacher.{tap}"}


def flow(first: str, second: str) -> Inputs:
    return {
        f"{source}_{place}": f"{source}.{tap}"
        for source in ("student", "teacher")
        for place, tap in (("first", first), ("second", second))
    }


CONTROL = Method("control", None)
PLAIN = Method("kl_divergence", "kl_divergence", 9.0, options={"temperature": 4.0})

STAGES = tuple(both(f"stage{number}") for number in (1, 2, 3))
# Batch normalization before a ReLU, within the stage.
INNER = tuple(both(f"inner{number}") for number in (1, 2, 3))
DEEPEST, POOLED = (STAGES[-1],), (both("pooled"),)
LEVELS = {f"{source}_{number}": f"{source}.stage{number}" for source in ("student", "teacher") for number in (1, 2, 3)}
PLACED = {"row": "batch.row", "label": "batch.target"}
LAST_WEIGHT = {source: f"{source}.parameters.net.stage3.0.conv2.weight" for source in ("student", "teacher")}
SOFTENED = {"temperature": 4.0}

METHODS = (
    CONTROL,
    PLAIN,
    # Outputs.
    Method("kl_divergence, standardized", "kl_divergence", 9.0, options={"temperature": 2.0, "standardize": True}),
    Method("soft_cross_entropy", "soft_cross_entropy", 9.0, options=SOFTENED),
    Method("reverse_kl", "reverse_kl", 9.0, options=SOFTENED, published=False),
    Method("generalized_jsd, beta 0.1", "generalized_jsd", 9.0, options={"beta": 0.1, **SOFTENED}, published=False),
    Method("generalized_jsd, beta 0.5", "generalized_jsd", 9.0, options={"beta": 0.5, **SOFTENED}, published=False),
    Method("generalized_jsd, beta 0.9", "generalized_jsd", 9.0, options={"beta": 0.9, **SOFTENED}, published=False),
    Method("total_variation", "total_variation", 1.0, options=SOFTENED, published=False),
    Method("decoupled_kd", "decoupled_kd", 1.0),
    Method("decoupled_kd, standardized", "decoupled_kd", 9.0, options={"temperature": 2.0, "standardize": True}),
    Method("dist", "dist", 1.0, options={"beta": 2.0, "gamma": 2.0, **SOFTENED}),
    Method("multi_level_logits", "multi_level_logits", 9.0),
    Method("weighted_soft_label", "weighted_soft_label", 2.25, options=SOFTENED),
    Method("binary_kd", "binary_kd", 1.0, published=False),
    Method("mse_logits", "mse_logits", 1.0, published=False),
    # Features.
    Method("hint_mse", "hint_mse", 100.0, (both("stage2"),)),
    Method("nst_mmd, linear", "nst_mmd", 50.0, DEEPEST, {"kernel": "linear"}, published=False),
    Method("nst_mmd, polynomial", "nst_mmd", 50.0, DEEPEST),
    Method("nst_mmd, gaussian", "nst_mmd", 50.0, DEEPEST, {"kernel": "gaussian"}, published=False),
    Method("attention_transfer", "attention_transfer", 1000.0, STAGES),
    Method(
        "gradient_attention",
        "gradient_attention",
        1.0,
        (both("stem"),),
        {"channels": "sum"},
        published=False,
        teacher="differentiable",
    ),
    Method("activation_boundary", "activation_boundary", 1.0, (INNER[-1],), published=False),
    Method("sparsity_pattern", "sparsity_pattern", 1.0, (INNER[-1],), published=False),
    Method("overhaul", "overhaul", 1.6, INNER),
    Method("review_kd", "review_kd", 5.0, (LEVELS,)),
    Method("variational_information", "variational_information", 1.0, STAGES),
    Method("channel_wise", "channel_wise", 3.0, DEEPEST),
    Method("factor_transfer", "factor_transfer", 500.0, DEEPEST),
    Method("weight_match", "weight_match", 500.0, (LAST_WEIGHT,), published=False, teacher="live"),
    # Relations between layers and between samples.
    Method(
        "flow_of_solution",
        "flow_of_solution",
        50.0,
        (flow("stem", "stage1"), flow("stage1", "stage2"), flow("stage2", "stage3")),
    ),
    Method("inter_channel_correlation", "inter_channel_correlation", 2.5, DEEPEST),
    Method("rkd_distance", "rkd_distance", 25.0, POOLED),
    Method("rkd_angle", "rkd_angle", 50.0, POOLED),
    Method("similarity_preserving", "similarity_preserving", 3000.0, DEEPEST),
    Method("correlation_congruence", "correlation_congruence", 50.0, POOLED, published=False),
    # Published for the mean over pairs of 64 rows, here the mean over rows.
    Method("probabilistic_transfer", "probabilistic_transfer", 30_000.0 / 64, POOLED),
    Method("crd", "crd", 0.8, ({**both("pooled"), **PLACED},)),
)
