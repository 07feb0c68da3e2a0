"""The conformance table: one row for each loss, more where its settings change the equation."""

from losses.cases_features import FEATURE_CASES
from losses.cases_outputs import OUTPUT_CASES
from losses.cases_relations import RELATION_CASES
from losses.cases_transformers import TRANSFORMER_CASES
from losses.conformance import LossCase
from losses.inputs import features

CASES = [
    LossCase("hint_mse", features((3,), (4,)), zero_at_equality=False, note="vectors"),
    LossCase(
        "hint_mse",
        features((3, 2, 2), (4, 2, 2)),
        {"student_features": 3, "teacher_features": 4},
        zero_at_equality=False,
        any_leading=False,
        note="maps",
    ),
    LossCase("hint_mse", features((3, 2, 3), (4, 5, 4)), zero_at_equality=False, any_leading=False, note="larger maps"),
    LossCase(
        "hint_mse", features((3, 7, 5), (4, 3, 5)), zero_at_equality=False, any_leading=False, note="smaller maps"
    ),
    *FEATURE_CASES,
    *OUTPUT_CASES,
    *RELATION_CASES,
    *TRANSFORMER_CASES,
]
