"""The learned temperature of Li et al., 2023: its range, as in the authors' code, and the cosine curriculum λ."""

import math


def temperature(level: float, lowest: float, highest: float) -> float:
    return lowest + (highest - lowest) / (1 + math.exp(-level))


def reversal(step: int, steps: int) -> float:
    """λ_min + ½ (λ_max − λ_min) (1 + cos((1 + min(E_n, E) / E) π)), from 0 to 1."""
    return 0.5 * (1 + math.cos((1 + min(step, steps) / steps) * math.pi))
