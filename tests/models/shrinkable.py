"""Small transformers of every family that can be shrunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 6,
    "max_position_embeddings": 20,
    "pad_token_id": 1,
    "num_labels": 3,
}


def electra(cls: Any, size: int) -> Callable[..., Any]:
    return lambda **sizes: cls(hf.ElectraConfig(**sizes, embedding_size=sizes["hidden_size"] if size == 0 else size))


def distilbert(cls: Any) -> Callable[..., Any]:
    names = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    }
    return lambda **sizes: cls(hf.DistilBertConfig(**{names.get(k, k): v for k, v in sizes.items()}))


def gpt2(cls: Any) -> Callable[..., Any]:
    names = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
    }
    ends = {"bos_token_id": 2, "eos_token_id": 2}
    return lambda **sizes: cls(hf.GPT2Config(**{names.get(k, k): v for k, v in sizes.items()}, **ends))


MODELS: dict[str, Callable[..., Any]] = {
    "bert": lambda **sizes: hf.BertModel(hf.BertConfig(**sizes)),
    "bert_classes": lambda **sizes: hf.BertForSequenceClassification(hf.BertConfig(**sizes)),
    "bert_tokens": lambda **sizes: hf.BertForTokenClassification(hf.BertConfig(**sizes)),
    "bert_words": lambda **sizes: hf.BertForMaskedLM(hf.BertConfig(**sizes)),
    "bert_untied": lambda **sizes: hf.BertForMaskedLM(hf.BertConfig(**sizes, tie_word_embeddings=False)),
    "bert_pretraining": lambda **sizes: hf.BertForPreTraining(hf.BertConfig(**sizes)),
    "roberta_classes": lambda **sizes: hf.RobertaForSequenceClassification(hf.RobertaConfig(**sizes)),
    "roberta_words": lambda **sizes: hf.RobertaForMaskedLM(hf.RobertaConfig(**sizes)),
    "xlm_roberta_tokens": lambda **sizes: hf.XLMRobertaForTokenClassification(hf.XLMRobertaConfig(**sizes)),
    "camembert": lambda **sizes: hf.CamembertForSequenceClassification(hf.CamembertConfig(**sizes)),
    "distilbert_classes": distilbert(hf.DistilBertForSequenceClassification),
    "distilbert_words": distilbert(hf.DistilBertForMaskedLM),
    "electra_classes": electra(hf.ElectraForSequenceClassification, 0),
    "electra_projected_tokens": electra(hf.ElectraForTokenClassification, 5),
    "electra_words": electra(hf.ElectraForMaskedLM, 5),
    "electra_pretraining": electra(hf.ElectraForPreTraining, 5),
    "mpnet_classes": lambda **sizes: hf.MPNetForSequenceClassification(hf.MPNetConfig(**sizes)),
    "mpnet_words": lambda **sizes: hf.MPNetForMaskedLM(hf.MPNetConfig(**sizes)),
    "gpt2_words": gpt2(hf.GPT2LMHeadModel),
    "gpt2_classes": gpt2(hf.GPT2ForSequenceClassification),
}

# What a rotated elementwise function in a head for words makes inexact.
ELEMENTWISE = {"bert_words", "bert_untied", "bert_pretraining", "roberta_words", "distilbert_words", "mpnet_words"}


def model(name: str, **sizes: Any) -> Any:
    torch.manual_seed(0)
    made = MODELS[name](**{**SIZES, **sizes}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.5)
    return made


def inputs() -> dict[str, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return {"input_ids": torch.randint(3, 30, (3, 7)).where(mask > 0, 1), "attention_mask": mask}


def run(made: Any) -> Tensor:
    with torch.no_grad():
        outputs = made(**inputs())
    first: Tensor = outputs[0]
    return first.where(inputs()["attention_mask"][..., None] > 0, 0) if first.ndim == 3 else first


def states(made: Any) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found: tuple[Tensor, ...] = made(**inputs(), output_hidden_states=True).hidden_states
    return found


def layer_list(made: nn.Module) -> tuple[nn.Module, str, nn.ModuleList]:
    """The only list of layers: where it hangs, its name, itself."""
    ((path, found),) = [(n, m) for n, m in made.named_modules() if isinstance(m, nn.ModuleList)]
    parent, _, name = path.rpartition(".")
    return made.get_submodule(parent), name, found
