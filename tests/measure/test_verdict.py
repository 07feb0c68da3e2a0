from __future__ import annotations

import pytest

from limbeck.measure import Comparison, MetricInfo, verdict
from measure.one_metric import metric_named


def compared(low: float, high: float, *, seeds: int = 3, metric: str = "accuracy") -> Comparison:
    scope = "rows" if seeds == 1 else "rows+seeds"
    return Comparison("student", "control", metric_named(metric).info, (low + high) / 2, low, high, scope, seeds)


@pytest.mark.parametrize(
    ("low", "high", "metric", "start"),
    [
        (0.01, 0.03, "accuracy", "Distillation helped:"),
        (-0.03, -0.01, "accuracy", "Distillation hurt:"),
        (-0.01, 0.03, "accuracy", "No difference that this run can show:"),
        (0.0, 0.0, "accuracy", "No difference that this run can show:"),
        (-0.03, -0.01, "negative_log_likelihood", "Distillation helped:"),
        (0.01, 0.03, "expected_calibration_error", "Distillation hurt:"),
    ],
)
def test_several_seeds_allow_a_claim(low: float, high: float, metric: str, start: str) -> None:
    assert verdict(compared(low, high, metric=metric)).startswith(start)


@pytest.mark.parametrize(
    ("low", "high", "start"),
    [
        (0.2, 0.3, "These two models differ:"),
        (-0.3, -0.2, "These two models differ:"),
        (-0.1, 0.1, "These two models show no clear difference:"),
    ],
)
def test_one_seed_never_says_that_distillation_helps(low: float, high: float, start: str) -> None:
    text = verdict(compared(low, high, seeds=1))
    assert text.startswith(start)
    assert text.endswith("; one seed cannot tell whether distillation helps, so run several.")
    assert "Distillation" not in text
    assert "over rows -" in text or "over rows +" in text


def test_gives_difference_interval_seeds_and_baseline() -> None:
    assert verdict(compared(-0.012, 0.004, seeds=5)) == (
        "No difference that this run can show: over 5 seeds the student's accuracy is 0.4 points below that of the "
        "same student trained without a teacher (95% interval over rows and seeds -1.2 to +0.4 points)."
    )


def test_a_difference_of_values_that_are_no_shares_has_no_points() -> None:
    text = verdict(compared(-0.25, -0.15, metric="teacher_kl"), subject="the pruned student", baseline="the student")
    assert text == (
        "Distillation helped: over 3 seeds the pruned student's KL divergence to the teacher is 0.200 nats below that "
        "of the student (95% interval over rows and seeds -0.250 to -0.150 nats)."
    )


def test_a_metric_with_a_unit_that_is_better_when_lower() -> None:
    info = MetricInfo("rmse", "RMSE", unit="mg/dl", higher_is_better=False)
    text = verdict(Comparison("student", "control", info, -3.21, -4.0, -2.5, "rows+seeds", seeds=3))
    assert text == (
        "Distillation helped: over 3 seeds the student's RMSE is 3.210 mg/dl below that of the same student trained "
        "without a teacher (95% interval over rows and seeds -4.000 to -2.500 mg/dl)."
    )
