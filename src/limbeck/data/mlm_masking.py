"""Batches for a masked language model, whose masks are a function of where they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.hashing import bits, uniform

__all__ = ["MlmMasking"]

_unknown = -100
_chosen, _how, _which = range(3)


class MlmMasking:
    """A collator that hides some tokens of each row, and asks for them.

    Each token that is not special is chosen with probability ``share``. 80% of those become the mask, 10% any
    entry of the vocabulary, 10% stay; ``target`` has what stood there, and −100 everywhere else. All is a function of
    (seed, row, view) and the position in the row, so that another order or another batch gives the same.

    Args:
        tokenizer: of ``transformers``, with a mask token.
        share: in (0, 1].
        seed: any integer.

    Raises:
        ArgumentError: if the tokenizer has no mask token or pads on the left, or the share is outside (0, 1].

    Devlin, Chang, Lee, Toutanova, 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", arXiv:1810.04805 (section 3.1).
    """

    def __init__(self, tokenizer: Any, *, share: float = 0.15, seed: int = 0) -> None:
        if tokenizer.mask_token_id is None:
            raise ArgumentError(
                "MlmMasking: the tokenizer has no mask token; take that of a masked language model",
                code="unsupported",
                path="tokenizer",
            )
        if tokenizer.padding_side != "right":
            raise ArgumentError(
                "MlmMasking: the tokenizer pads on the left; set tokenizer.padding_side to 'right'",
                code="unsupported",
                path="tokenizer",
            )
        if not 0.0 < share <= 1.0:
            raise ArgumentError(f"MlmMasking: share is {share}; expected a number in (0, 1]", path="share")
        self.tokenizer = tokenizer
        self.share = share
        self.seed = seed

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A batch ``{"inputs": …, "target": …, "row": …}``.

        Args:
            rows: what the tokenizer gave for each text, with ``row``, its number, and perhaps ``view``, such as the
                epoch; 0 without.
        """
        beside = ("row", "view")
        columns = [{name: value for name, value in row.items() if name not in beside} for row in rows]
        inputs = dict(self.tokenizer.pad(columns, return_tensors="pt"))
        row, view = (torch.tensor([int(one.get(name, 0)) for one in rows]) for name in beside)
        hidden, target = self.hidden(inputs["input_ids"], row, view)
        return {"inputs": {**inputs, "input_ids": hidden}, "target": target, "row": row}

    def hidden(self, tokens: Tensor, row: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens with some of them hidden, and what stood there.

        Args:
            tokens: int64 `[B, L]`, padded on the right.
            row: int64 `[B]`, the number of each row.
            view: int64 `[B]`, the view of each row.

        Returns:
            Both int64 `[B, L]`.
        """
        address = bits(self.seed, row, view, 0).unsqueeze(1), torch.arange(tokens.shape[1]).unsqueeze(0)
        special = torch.isin(tokens, torch.tensor(self.tokenizer.all_special_ids))
        chosen = (uniform(self.seed, *address, _chosen) < self.share) & ~special
        how = uniform(self.seed, *address, _how)
        others = (uniform(self.seed, *address, _which) * len(self.tokenizer)).long()
        hidden = torch.where(chosen & (how < 0.8), self.tokenizer.mask_token_id, tokens)
        hidden = torch.where(chosen & (how >= 0.9), others, hidden)
        return hidden, torch.where(chosen, tokens, _unknown)
