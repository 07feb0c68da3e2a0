"""Divergence of scaled products of values, queries and keys (Wang et al., 2020, §3.2; Wang et al., 2021, §3.2)."""

from collections.abc import Sequence

import numpy as np

from oracles.attention_scores import admitted, of_maps, scores
from oracles.layer_maps import Array, Layers, listed, pairs


def value_relation(
    attention_mask: Array | None = None,
    *,
    relation_heads: int,
    layers: str | Sequence[Sequence[int]] = ((-1, -1),),
    **given: Layers,
) -> Array:
    chosen = pairs(layers, given["student_value"], given["teacher_value"], attention_mask)
    values = []
    for role in ("value", "query", "key"):
        if f"student_{role}" not in given:
            continue
        students, teachers = listed(given[f"student_{role}"]), listed(given[f"teacher_{role}"])
        for s, t in chosen:
            of_rows = []
            for row, (own, others) in enumerate(zip(students[s], teachers[t], strict=True)):
                tokens = admitted(attention_mask, row, len(own))
                relations = [scores(side[tokens], side[tokens], relation_heads) for side in (own, others)]
                of_rows.append(of_maps(*relations))
            values.append(of_rows)
    return np.mean(np.array(values), axis=0)
