"""A small masked language model with word pieces."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "film", "is", "good", "bad", "dull", "play", "cast", "old", "new", "a")
PIECES = ("##s", "##ing", "##er", ".", ",", "7")


def word_pieces() -> Any:
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *WORDS, *PIECES))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    names = {
        name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=20, **names)


def masked_model() -> Any:
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=len(SPECIAL + WORDS + PIECES),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=20,
    )
    model = hf.BertForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.train()
