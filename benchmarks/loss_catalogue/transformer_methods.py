"""The rows of the second table: losses between the layers of two encoders."""

from __future__ import annotations

from loss_catalogue.methods import CONTROL, PLAIN, Method, both

__all__ = ["HEADS", "LAYERS", "TEACHER_LAYERS", "TRANSFORMER_METHODS"]

LAYERS, TEACHER_LAYERS = 2, 6
# Of both, as the papers on attention have it.
HEADS = 4


def projections(*names: str) -> dict[str, str]:
    """What the layers project tokens to, as the arguments of a loss."""
    plural = {"query": "queries", "key": "keys", "value": "values"}
    return {f"{source}_{name}": f"{source}.{plural[name]}" for source in ("student", "teacher") for name in names}


HIDDEN = (both("hidden_states"),)
ATTENTION, VALUES = (projections("query", "key"),), (projections("value"),)
MAPS = {"on": "maps", "layers": ((-1, -1),)}
BOTH_HEADS = {"student_heads": HEADS, "teacher_heads": HEADS}

TRANSFORMER_METHODS: tuple[Method, ...] = (
    CONTROL,
    PLAIN,
    # Published for a sum over the layers, here the mean: of the embeddings and two layers, and of two.
    Method("hidden_states_mse", "hidden_states_mse", 3.0, HIDDEN),
    Method("hidden_states_mse, auto", "hidden_states_mse", 3.0, HIDDEN, {"layers": "auto"}),
    Method("attention_scores", "attention_scores", 2.0, ATTENTION, BOTH_HEADS),
    Method("attention_scores, maps", "attention_scores", 1.0, ATTENTION, {**BOTH_HEADS, **MAPS}),
    Method("value_relation", "value_relation", 1.0, VALUES, {"relation_heads": HEADS}),
    Method(
        "value_relation, with queries and keys",
        "value_relation",
        1.0,
        (projections("query", "key", "value"),),
        {"relation_heads": 2 * HEADS},
    ),
    # Published beside a weight of 2 for the hard loss.
    Method("cosine_hidden", "cosine_hidden", 0.5, HIDDEN),
    Method("patient_kd", "patient_kd", 100.0, HIDDEN),
)
