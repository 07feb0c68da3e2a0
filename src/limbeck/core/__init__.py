"""One training step: taps, terms, balance and the Distiller that holds them."""

from limbeck.core._paths import split_path
from limbeck.core.addresses import Address, Board, Outputs, at, map_tensors, rows_of, source_of
from limbeck.core.attention_layouts import AttentionTaps, attention_taps
from limbeck.core.balance import Balance, Fixed, Weights
from limbeck.core.calling import called, logits_of
from limbeck.core.distiller import Distiller, Teacher
from limbeck.core.gradient_norm import GradientNorm
from limbeck.core.processes import world_size
from limbeck.core.schedules import Constant, Cosine, Linear, Schedule, Step, as_schedule
from limbeck.core.step import Counts, StepOutput
from limbeck.core.taps import Tapped
from limbeck.core.term import Mean, Term
from limbeck.core.uncertainty import Uncertainty

__all__ = [
    "Address",
    "AttentionTaps",
    "Balance",
    "Board",
    "Constant",
    "Cosine",
    "Counts",
    "Distiller",
    "Fixed",
    "GradientNorm",
    "Linear",
    "Mean",
    "Outputs",
    "Schedule",
    "Step",
    "StepOutput",
    "Tapped",
    "Teacher",
    "Term",
    "Uncertainty",
    "Weights",
    "as_schedule",
    "at",
    "attention_taps",
    "called",
    "logits_of",
    "map_tensors",
    "rows_of",
    "source_of",
    "split_path",
    "world_size",
]
