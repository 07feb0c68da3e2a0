"""Other texts that say much the same: some words replaced by those that a language model finds likely there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.hashing import bits, uniform

__all__ = ["Word", "WordSubstitution"]

_whether, _which = range(2)
_at_once = 32  # masked copies of a text in one forward


class Word(NamedTuple):
    """Where a word stands in a text, and what may stand there instead, the likeliest first."""

    start: int
    end: int
    candidates: tuple[str, ...]


class WordSubstitution:
    """Replaces words of a text, each with a probability, by one of its candidates.

    For a word that is one token, the candidates are the K words that a masked language model finds likeliest in its
    place; for any other, the K nearest by the cosine of the model's input embeddings, of which the word has the mean
    over its pieces. Candidates are whole words of letters in the model's vocabulary, and never the word itself. Words
    without a letter stay, and so does what is beyond the tokenizer's greatest length. For each word of a copy, a number
    below ``probability`` draws a replacement, all candidates alike.

    Args:
        model: a masked language model of ``transformers``, local, put into eval mode while it runs.
        tokenizer: its fast tokenizer, with word pieces as BERT has them.
        candidates: K.
        probability: p_t, in [0, 1].
        seed: any integer.

    Raises:
        ArgumentError: if the tokenizer has no mask token or no word pieces, or a number cannot be.

    Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, 2020, "TinyBERT: Distilling BERT for Natural Language Understanding",
    arXiv:1909.10351 (algorithm 1).
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, candidates: int = 15, probability: float = 0.4, seed: int = 0
    ) -> None:
        vocabulary = tokenizer.get_vocab()
        if tokenizer.mask_token_id is None or not any(token.startswith("##") for token in vocabulary):
            raise ArgumentError(
                "WordSubstitution: expected a tokenizer with a mask token and word pieces, as BERT has",
                code="unsupported",
                path="tokenizer",
            )
        if not 0.0 <= probability <= 1.0 or candidates < 1:
            raise ArgumentError(
                f"WordSubstitution: probability is {probability} and candidates {candidates}; expected a number in "
                "[0, 1] and at least 1",
                path="candidates" if candidates < 1 else "probability",
            )
        words = sorted((number, token) for token, number in vocabulary.items() if token.isalpha())
        if len(words) <= candidates:
            raise ArgumentError(
                f"WordSubstitution: the vocabulary has {len(words)} whole words, expected more than {candidates}",
                code="too_few",
                path="candidates",
            )
        self.model, self.tokenizer = model, tokenizer
        self.candidates, self.probability, self.seed = candidates, probability, seed
        self._numbers, self._words = torch.tensor([number for number, _ in words]), [token for _, token in words]

    def __call__(self, text: str, *, row: int, copy: int) -> str:
        """One copy of a text: a function of (seed, row, copy) and the text.

        Args:
            text: as it stands in the data.
            row: its number.
            copy: which copy, from 0.
        """
        return self.replaced(text, self.words(text), row=row, copy=copy)

    def copies(self, text: str, *, row: int, count: int) -> list[str]:
        """Several copies, for which the model runs once."""
        words = self.words(text)
        return [self.replaced(text, words, row=row, copy=copy) for copy in range(count)]

    def replaced(self, text: str, words: Sequence[Word], *, row: int, copy: int) -> str:
        """The text with some of its words, as `words` has found them, replaced."""
        address = bits(self.seed, torch.tensor([row]), torch.tensor([copy]), 0), torch.arange(len(words))
        draws, choices = (uniform(self.seed, *address, draw) for draw in (_whether, _which))
        for word, draw, choice in reversed(list(zip(words, draws.tolist(), choices.tolist(), strict=True))):
            if draw < self.probability:
                replacement = word.candidates[int(choice * len(word.candidates))]
                text = text[: word.start] + replacement + text[word.end :]
        return text

    @torch.no_grad()
    def words(self, text: str) -> list[Word]:
        """The words of a text that have a letter, with their candidates."""
        encoded = self.tokenizer(text, return_offsets_mapping=True, truncation=True, return_tensors="pt")
        spans = encoded.pop("offset_mapping")[0].tolist()
        places: dict[int, list[int]] = {}
        for place, word in enumerate(encoded.word_ids(0)):
            if word is not None:
                places.setdefault(word, []).append(place)
        found = [
            (spans[own[0]][0], spans[own[-1]][1], own)
            for own in places.values()
            if any(map(str.isalpha, text[spans[own[0]][0] : spans[own[-1]][1]]))
        ]
        single = [own[0] for _, _, own in found if len(own) == 1]
        scores = dict(zip(single, self._likely(encoded, single), strict=True))
        tokens = encoded["input_ids"][0]
        return [
            Word(start, end, self._best(scores[own[0]] if len(own) == 1 else self._near(tokens[own]), text[start:end]))
            for start, end, own in found
        ]

    def _likely(self, encoded: Any, places: Sequence[int]) -> list[Tensor]:
        """For each of these places, the scores of all whole words there, with the token masked."""
        device, mode = next(self.model.parameters()).device, self.model.training
        found: list[Tensor] = []
        self.model.eval()
        for start in range(0, len(places), _at_once):
            chunk = places[start : start + _at_once]
            inputs = {name: value.repeat(len(chunk), 1).to(device) for name, value in encoded.items()}
            rows = torch.arange(len(chunk), device=device)
            inputs["input_ids"][rows, chunk] = self.tokenizer.mask_token_id
            found += self.model(**inputs).logits[rows, chunk].cpu()[:, self._numbers]
        self.model.train(mode)
        return found

    def _near(self, pieces: Tensor) -> Tensor:
        """The cosines of all whole words with the mean of these pieces."""
        table = self.model.get_input_embeddings().weight.detach().cpu()
        return torch.cosine_similarity(table[self._numbers], table[pieces].mean(0, keepdim=True))

    def _best(self, scores: Tensor, word: str) -> tuple[str, ...]:
        ranked = (self._words[place] for place in scores.topk(self.candidates + 1).indices.tolist())
        return tuple(one for one in ranked if one != word.lower() and one != word)[: self.candidates]
