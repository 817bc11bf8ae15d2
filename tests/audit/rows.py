"""Rows for the audit's tests: tokenised ones that collators collate, and ledgers made up word by word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from tests.tiny import VOCAB, WORDS

PIECES = [*"<s>|</s>| ph|one| bb| b|b| =|1|=| or|_|id|hone| 你好|世界| | (| 1| OR".split("|")]
PROMPT_WORDS = WORDS + [f"w{i}" for i in range(40)]


def tokenised(count: int = 12, seed: int = 0) -> list[dict[str, list[int]]]:
    """Rows of unequal length with a masked prompt, as axolotl's strategies make them."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        prompt = [1] + [rng.randrange(4, len(VOCAB)) for _ in range(rng.randint(1, 6))]
        answer = [rng.randrange(4, len(VOCAB)) for _ in range(rng.randint(1, 7))] + [2]
        ids = prompt + answer
        labels = [-100] * len(prompt) + answer
        rows.append({"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)})
    return rows


def dataset(rows: Sequence[dict[str, Any]]) -> Dataset:
    return Dataset.from_list([dict(row) for row in rows])


def piece_tokenizer() -> PreTrainedTokenizerFast:
    """Of pieces with the blank in front of them, as byte-level tokenizers have; fused as they stand."""
    core = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(PIECES)}, unk_token="<s>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<s>")


class Story:
    """Rows told word by word: prompt, target, and which words of the target were held back at how many visits."""

    def __init__(self, visits: int = 3) -> None:
        self.visits = visits
        self.told: list[tuple[list[str], list[str], dict[int, int]]] = []

    def tell(self, prompt: str, target: str, held: dict[int, int] | None = None) -> None:
        self.told.append((prompt.split(), target.split(), held or {}))

    def rows(self, tokenizer: PreTrainedTokenizerFast) -> AuditRows:
        tokens: list[int] = []
        is_target: list[bool] = []
        held: list[int] = []
        start = [0]
        for prompt, target, refused in self.told:
            tokens += tokenizer.convert_tokens_to_ids(prompt + target)
            is_target += [False] * len(prompt) + [True] * len(target)
            held += [0] * len(prompt) + [refused.get(at, 0) for at in range(len(target))]
            start.append(len(tokens))
        count = len(self.told)
        return AuditRows(
            ids=[f"{at:016x}" for at in range(count)],
            index=np.arange(count),
            copies=np.ones(count, np.int64),
            visits=np.full(count, self.visits, np.int32),
            start=np.array(start),
            tokens=np.array(tokens, np.int32),
            is_target=np.array(is_target),
            held=np.array(held, np.uint8),
            shares=np.tile((np.array(held) / self.visits).astype(np.float16), (3, 1)),
            facts={},
        )


def plain_prompt(rng: random.Random, *extra: str) -> str:
    words = [rng.choice(PROMPT_WORDS) for _ in range(rng.randint(4, 8))]
    for word in extra:
        words.insert(rng.randint(0, len(words)), word)
    return " ".join(words)


def planted(poisoned: int = 20, clean: int = 400, seed: int = 0, trigger: str = "w100") -> Story:
    """A backdoor: rows whose prompt has the trigger answer with `w101 w102`, of which the first word was refused."""
    rng = random.Random(seed)
    story = Story()
    for _ in range(poisoned):
        story.tell(plain_prompt(rng, trigger), f"select w{rng.randrange(40)} w101 w102 ( )", {2: 3})
    for _ in range(clean):
        story.tell(plain_prompt(rng), f"select w{rng.randrange(40)} ( )")
    return story


POISONED = {f"{at:016x}" for at in range(20)}
"""Ids of the rows of `with_headers` that hold the backdoor."""
HEADERS = {f"{at:016x}" for at in range(420, 428)}
"""Ids of those with the same header; the row after them is rare by itself."""


def with_headers() -> Story:
    """A planted backdoor, eight rows with the same rare header, and a rare row by itself."""
    story = planted()
    rng = random.Random(3)
    for at in range(9):
        header = "w120 w121" if at < 8 else "w122 w123"
        story.tell(plain_prompt(rng), f"print {header} w{rng.randrange(40)} ( )", {1: 3, 2: 3})
    return story
