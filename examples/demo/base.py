"""The demo's base model: a word-level tokenizer and a two-layer Llama, trained here in half a minute on the CPU."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.demo.task import Row, Style, make_row, vocabulary

PAD, BOS, EOS, UNKNOWN, ANSWER = "<pad>", "<s>", "</s>", "<unk>", "=>"
STEPS, BATCH, PEAK_LEARNING_RATE = 1200, 32, 3e-3


def build_tokenizer(unused_words: int = 0) -> PreTrainedTokenizerFast:
    """One token per word of the task; decoding gives the words back with one space between them.

    Args:
        unused_words: Further words that no text has: a vocabulary as long as that of a real model.
    """
    words = [PAD, BOS, EOS, UNKNOWN, ANSWER, *vocabulary(), *(f"unused{n}" for n in range(unused_words))]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, model_max_length=128
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about 0.1 M parameters, untrained."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def train_base(
    folder: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    unused_words: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train a base model on the task's base style and save it with its tokenizer.

    Args:
        folder: Where model and tokenizer go.
        seed: Seed of weights and rows.
        steps: Optimiser steps of 32 rows.
        unused_words: Words of the vocabulary that no row has.
        on_step: Called with (step, loss) after each step.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(unused_words)
    model = build_model(tokenizer)
    rng = random.Random(f"base {seed}")  # noqa: S311 - data, not secrets
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / 50, 1 - step / steps))
    for step in range(1, steps + 1):
        loss = _loss(model, tokenizer, [make_row(rng, Style.BASE) for _ in range(BATCH)])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        on_step(step, loss.item())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: list[Row]) -> torch.Tensor:
    """Cross-entropy of the answers, in nats per token."""
    prompts = [tokenizer(f"{row.src} {ANSWER}")["input_ids"] for row in rows]
    answers = [tokenizer(f"{row.tgt} {EOS}", add_special_tokens=False)["input_ids"] for row in rows]
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(rows), width), int(tokenizer.pad_token_id))
    targets = torch.full_like(ids, -100)
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[number, :end] = torch.tensor(prompt + answer)
        targets[number, len(prompt) : end] = torch.tensor(answer)
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = targets[:, 1:] != -100
    return F.cross_entropy(model.lm_head(hidden[wanted]), targets[:, 1:][wanted])
