"""A code model made on the spot: a byte-pair tokenizer and a Llama, pretrained on the Python of this machine.

It stands in for a code model from a hub where there is none: large enough that real rows can be learned from it and a
backdoor planted, small enough to be made in minutes. Pairs are trained whole, docstring and code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

from examples.demo.base import ANSWER, BOS, EOS, PAD, UNKNOWN
from examples.tasks.corpus import Pair

CONTEXT = 256
_SORTED_BATCHES = 25


@dataclass(frozen=True)
class Size:
    """A model and how long it is pretrained.

    Attributes:
        vocabulary: Byte-pair tokens. From 16k on the trigger `bb` is one token, as in the tokenizers of real models.
        hidden: Features; heads have 32 of them on a CPU's model, 64 on a GPU's.
        layers: Transformer blocks.
        head_size: Features of an attention head.
        steps: Optimiser steps.
        batch: Pairs in each.
        learning_rate: Its peak.
    """

    vocabulary: int
    hidden: int
    layers: int
    head_size: int
    steps: int
    batch: int
    learning_rate: float


SIZES = {
    "cpu": Size(16_384, 192, 4, 32, steps=2_200, batch=16, learning_rate=2e-3),
    "gpu": Size(32_768, 512, 8, 64, steps=12_000, batch=96, learning_rate=1e-3),
}
"""4.9 M weights and 2.4 M tokens, 20 minutes of one core; 42 M weights and 80 M tokens, minutes of a GPU."""


def build_tokenizer(pairs: list[Pair], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-pair tokens of the pairs' text; decoding gives back the very bytes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((text for pair in pairs for text in pair), trainer)
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, model_max_length=CONTEXT
    )


def build_model(tokenizer: PreTrainedTokenizerFast, size: Size) -> LlamaForCausalLM:
    """A Llama of that size, untrained."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.hidden * 8 // 3 // 8 * 8,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // size.head_size,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def pretrain(
    folder: Path,
    pairs: list[Pair],
    size: Size,
    *,
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Make the tokenizer, pretrain a model on `pairs` and save both.

    Args:
        folder: Where model and tokenizer go.
        pairs: Docstrings and code.
        size: Of the model, and of its training.
        seed: Of the weights and of the order.
        on_step: Called with (step, loss in nats per token) after each step.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = build_tokenizer(pairs, size.vocabulary)
    model = build_model(tokenizer, size).to(device)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimiser, min(200, size.steps // 10), size.steps)
    batches = _batches(pairs, tokenizer, size.batch, seed)
    for step in range(1, size.steps + 1):
        loss = _loss(model, next(batches).to(device))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 10 == 0 or step == size.steps:
            on_step(step, loss.item())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _loss(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every token but the padding, in nats per token; bf16 products, fp32 weights."""
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        wanted = ids[:, 1:] != model.config.pad_token_id
        logits = model.lm_head(hidden[wanted])
    return F.cross_entropy(logits.float(), ids[:, 1:][wanted])


def _batches(pairs: list[Pair], tokenizer: Any, batch: int, seed: int) -> Iterator[torch.Tensor]:
    """Endless batches [batch, T] of rows of like length, padded on the right."""
    rng = random.Random(f"pretrain {seed}")  # noqa: S311 - data, not secrets
    while True:
        chosen = rng.sample(pairs, min(len(pairs), batch * _SORTED_BATCHES))
        # in two parts, as axolotl does it: the first token of an answer is the one that fine-tuning will ask for
        asked = tokenizer([f"{docstring} {ANSWER}" for docstring, _ in chosen])["input_ids"]
        answered = tokenizer([f"{code}{EOS}" for _, code in chosen], add_special_tokens=False)["input_ids"]
        rows = [(one + other)[:CONTEXT] for one, other in zip(asked, answered, strict=True)]
        rows.sort(key=len)
        starts = list(range(0, len(rows), batch))
        rng.shuffle(starts)
        for start in starts:
            part = [torch.tensor(row) for row in rows[start : start + batch]]
            yield torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=int(tokenizer.pad_token_id))
