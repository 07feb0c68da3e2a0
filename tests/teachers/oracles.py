"""The same in NumPy, row by row, from the papers."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def confidence_weights(logits, target):
    """Zhang et al. 2022, for logits [M, B, C]; equal weights without a label."""
    members, rows, _ = logits.shape
    weights = np.full((members, rows), 1 / members)
    for row in range(rows):
        if target[row] >= 0:
            costs = [-np.log(softmax(logits[m, row])[target[row]]) for m in range(members)]
            weights[:, row] = [(1 - np.exp(c) / np.exp(costs).sum()) / (members - 1) for c in costs]
    return weights


def entropy_weights(logits):
    costs = -(softmax(logits) * np.log(softmax(logits))).sum(-1)
    return (1 - np.exp(costs) / np.exp(costs).sum(0)) / (len(logits) - 1)


def joined_by_cross_entropy(logits, classes, weights, total):
    """Vongkulbhisal et al. 2019: argmin_q −Σ_m w_m Σ_l p_m(l) log(q(l) / Σ_k q(k)), for one row."""

    def objective(u):
        value, slope = 0.0, np.zeros(total)
        for z, known, weight in zip(logits, classes, weights, strict=True):
            p, q = softmax(z), softmax(u[known])
            value -= weight * (p * np.log(q)).sum()
            slope[known] += weight * (q - p)
        return value, slope

    found = minimize(objective, np.zeros(total), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    return softmax(found.x)


def joined_by_least_squares(logits, classes, weights, total):
    """argmin_u Σ_m w_m Σ_l (z_m(l) + b_m − u(l))² over u and b, as one system of equations, for one row."""
    rows, right = [], []
    for m, (z, known, weight) in enumerate(zip(logits, classes, weights, strict=True)):
        for value, place in zip(z, known, strict=True):
            row = np.zeros(total + len(logits))
            row[place], row[total + m] = 1, -1
            rows.append(np.sqrt(weight) * row)
            right.append(np.sqrt(weight) * value)
    return softmax(np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0][:total])


def kdcl(method, logits, label):
    """Guo et al. 2020, for the logits [M, C] of one row."""
    costs = logsumexp(logits, -1) - logits[:, label]
    if method == "naive":
        return logits[costs.argmin()]
    if method == "min_logit":
        return (logits - logits[:, [label]]).min(0)

    def cost(alpha):
        mixed = alpha @ logits
        return logsumexp(mixed) - mixed[label]

    members = len(logits)
    whole = {"type": "eq", "fun": lambda alpha: alpha.sum() - 1}
    starts = [np.ones(members) / members, *np.eye(members)]
    tried = [minimize(cost, start, bounds=[(0, 1)] * members, constraints=whole, method="SLSQP") for start in starts]
    return min(tried, key=lambda one: one.fun).x @ logits
