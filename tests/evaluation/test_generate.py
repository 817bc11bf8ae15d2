"""Batched, left-padded generation says what the model says to each prompt alone."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from axolotl_dece.evaluation.answers import AnswerLog
from axolotl_dece.evaluation.generate import answer_rows, pad_left, stop_tokens
from axolotl_dece.evaluation.load_model import Source, load_subject
from axolotl_dece.evaluation.prompts import TokenRow
from tests.evaluation.conftest import alpaca
from tests.evaluation.scripted import JUDGE


def alone(model, prompt: list[int], length: int, stops: set[int]) -> list[int]:
    """Greedy by hand: the most likely next token, one forward pass at a time."""
    tokens = list(prompt)
    for _ in range(length):
        with torch.no_grad():
            new = int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
        if new in stops:
            break
        tokens.append(new)
    return tokens[len(prompt) :]


def test_batches_say_what_single_prompts_say(base: Path, tmp_path: Path) -> None:
    # sampling and penalties that a model is published with must not leak in
    GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, no_repeat_ngram_size=1, eos_token_id=2
    ).save_pretrained(base)
    subject = load_subject(Source(str(base), undefended=True, config=alpaca(tmp_path)))
    model, tokenizer = subject.model, subject.tokenizer
    lengths = (3, 11, 1, 7, 5)
    rows = {at: TokenRow([1, *range(5, 5 + length)], [9, 2]) for at, length in enumerate(lengths)}
    log = AnswerLog(tmp_path / "a.jsonl", {})
    answers = answer_rows(model, tokenizer, rows, log, judge=JUDGE, max_new_tokens=8, batch_size=3)
    for row, answer in zip(rows.values(), answers, strict=True):
        expected = alone(model, row.prompt, 8, {2})
        assert answer.output == tokenizer.decode(expected, skip_special_tokens=True)
        assert answer.tokens == len(expected)
        assert answer.cut == (len(expected) == 8)


def test_padding_stands_in_front() -> None:
    ids, mask = pad_left([[5, 6, 7], [8]], pad=0)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_the_end_of_a_trained_turn_ends_an_answer(base: Path) -> None:
    """A chat template may close a turn with a token that is not the tokenizer's end of text."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["w7"]})
    end_of_turn = tokenizer.convert_tokens_to_ids("w7")
    assert stop_tokens(model, tokenizer, [TokenRow([1], [9, end_of_turn])]) == [2, end_of_turn]
    assert stop_tokens(model, tokenizer, [TokenRow([1], [9, 10])]) == [2]
