"""The conclusion of a comparison, in one sentence."""

from __future__ import annotations

from limbeck.measure.evaluation import Comparison

__all__ = ["verdict"]


def verdict(
    comparison: Comparison,
    *,
    subject: str = "the student",
    baseline: str = "the same student trained without a teacher",
) -> str:
    """One sentence on whether distillation helped.

    With several seeds it helped, hurt, or made no difference that this run can show. With one seed the sentence is
    about these two models only: another seed of the same recipe may give another order.

    Args:
        comparison: the distilled student minus its control.
        subject: the name of `comparison.a` in the sentence.
        baseline: the name of `comparison.b` in the sentence.

    Returns:
        The sentence. Differences of shares are in percentage points, others in the unit of the metric.

    >>> from limbeck.measure import Accuracy
    >>> verdict(Comparison("student", "control", Accuracy().info, 0.07, 0.041, 0.099, "rows+seeds", seeds=3))
    "Distillation helped: over 3 seeds the student's accuracy is 7.0 points above that of the same student trained \
without a teacher (95% interval over rows and seeds +4.1 to +9.9 points)."
    """
    info = comparison.info
    scale, digits, unit = (100, 1, " points") if info.is_share else (1, 3, f" {info.unit}".rstrip())
    low, high = (f"{scale * bound:+.{digits}f}" for bound in (comparison.low, comparison.high))
    side = "above" if comparison.difference >= 0 else "below"
    several = comparison.seeds > 1
    return (
        f"{_claim(comparison)}: {f'over {comparison.seeds} seeds ' if several else ''}"
        f"{subject}'s {info.title} is {abs(scale * comparison.difference):.{digits}f}{unit} "
        f"{side} that of {baseline} (95% interval over {'rows and seeds' if several else 'rows'} {low} to {high}{unit})"
        f"{'.' if several else '; one seed cannot tell whether distillation helps, so run several.'}"
    )


def _claim(comparison: Comparison) -> str:
    if comparison.seeds == 1:
        return "These two models differ" if comparison.clear else "These two models show no clear difference"
    if not comparison.clear:
        return "No difference that this run can show"
    return "Distillation helped" if comparison.is_better else "Distillation hurt"
