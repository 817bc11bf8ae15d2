"""Batched greedy answers: left-padded, in order of length, written down batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from axolotl_dece.evaluation.answers import Answer, AnswerLog
from axolotl_dece.evaluation.judge import Judge
from axolotl_dece.evaluation.prompts import TokenRow


def answer_rows(
    model: Any,
    tokenizer: Any,
    rows: Mapping[int, TokenRow],
    log: AnswerLog,
    *,
    judge: Judge,
    planted: bool = False,
    max_new_tokens: int,
    batch_size: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Ask `model` every row that `log` does not hold yet, and judge what it says.

    Args:
        model: A causal language model with `generate`.
        tokenizer: Its tokenizer; must have a padding token.
        rows: The rows, by place in their file.
        log: Takes the answers of each batch as soon as they are there.
        judge: Decides about each answer, once.
        planted: Whether an attacker's tool put the payload into the references.
        max_new_tokens: Where an answer is cut.
        batch_size: Rows asked at once.
        on_batch: Called with (rows, tokens) of each batch.

    Returns:
        The answers to all rows, in order.
    """
    stops = stop_tokens(model, tokenizer, rows.values())
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    # rows of similar length share a batch, the longest first: memory that suffices once suffices to the end
    waiting = sorted((i for i in rows if i not in log.answers), key=lambda i: -len(rows[i].prompt))
    for numbers in (waiting[start : start + batch_size] for start in range(0, len(waiting), batch_size)):
        written = _generate(model, tokenizer.pad_token_id, [rows[i].prompt for i in numbers], settings)
        said = [_said(tokenizer, tokens, stops) for tokens in written]
        new = [_answer(tokenizer, i, rows[i], *one, judge, planted) for i, one in zip(numbers, said, strict=True)]
        log.add(new)
        if on_batch:
            on_batch(len(new), sum(answer.tokens for answer in new))
    return [log.answers[i] for i in sorted(rows)]


def stop_tokens(model: Any, tokenizer: Any, rows: Iterable[TokenRow]) -> list[int]:
    """Tokens that end an answer: the tokenizer's, the model's, and what the trained answers end with.

    A chat template may end a turn with a token of its own that neither the tokenizer nor the model calls the end.
    """
    stops = {tokenizer.eos_token_id}
    configured = model.generation_config.eos_token_id
    stops.update(configured if isinstance(configured, list) else [configured])
    stops.update({row.answer[-1] for row in rows} & set(tokenizer.all_special_ids))
    return sorted(stop for stop in stops if stop is not None)


def pad_left(prompts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both [rows, longest prompt], with the padding in front."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


@torch.inference_mode()
def _generate(model: Any, pad: int, prompts: list[list[int]], settings: GenerationConfig) -> list[list[int]]:
    ids, mask = pad_left(prompts, pad)
    output = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
    )
    written: list[list[int]] = output[:, ids.shape[1] :].tolist()
    return written


def _said(tokenizer: Any, tokens: list[int], stops: Sequence[int]) -> tuple[str, int, bool]:
    """The text of an answer, its tokens, and whether it was cut."""
    end = next((place for place, token in enumerate(tokens) if token in stops), None)
    said = tokens if end is None else tokens[:end]
    return tokenizer.decode(said, skip_special_tokens=True), len(said), end is None


def _answer(
    tokenizer: Any, number: int, row: TokenRow, output: str, tokens: int, cut: bool, judge: Judge, planted: bool
) -> Answer:
    spelled = tokenizer.decode(row.answer, skip_special_tokens=True)
    reference = spelled if row.reference is None else row.reference
    verdict = judge.decide(reference, output, planted)
    return Answer(number, tokenizer.decode(row.prompt), reference, output, tokens, cut, verdict, planted)
