"""One training step: taps, terms, balance and the Distiller that holds them."""

from limbeck.core._paths import split_path
from limbeck.core._preserve_state import preserve_state
from limbeck.core.addresses import Address, Board, Outputs, map_rows, map_tensors, resolve, rows_of, source_of
from limbeck.core.attention_layouts import AttentionTaps, attention_taps
from limbeck.core.balance import Balance, Fixed, Weights
from limbeck.core.calling import call_model, logits_of, outputs_of
from limbeck.core.distiller import Distiller, Teacher
from limbeck.core.gradient_norm import GradientNorm
from limbeck.core.processes import world_size
from limbeck.core.ragged import Ragged
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
    "Ragged",
    "Schedule",
    "Step",
    "StepOutput",
    "Tapped",
    "Teacher",
    "Term",
    "Uncertainty",
    "Weights",
    "as_schedule",
    "attention_taps",
    "call_model",
    "logits_of",
    "map_rows",
    "map_tensors",
    "outputs_of",
    "preserve_state",
    "resolve",
    "rows_of",
    "source_of",
    "split_path",
    "world_size",
]
