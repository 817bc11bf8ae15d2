"""The text of tokens, also where a tokenizer breaks one letter into several tokens.

Byte-level tokenizers write an emoji, or a letter of Thai or Chinese, as two to four tokens, none of which is text by
itself. Such tokens are put together until they are: a *unit*, whose text counts for its first token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_BROKEN = "\ufffd"
_MOST_OF_UNIT = 12


class Pieces:
    """Texts of some token ids.

    Args:
        tokenizer: The run's.
        ids: Which ones.

    Attributes:
        text: Of every id, as it stands behind a letter, with its blanks.
        special: Ids that stand for no text, such as the end of a sequence.
        partial: Ids that are only a part of a letter, or hold such a part.
    """

    def __init__(self, tokenizer: Any, ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self.special = set(tokenizer.all_special_ids)
        ids = list(ids)
        alone = dict(zip(ids, self._decode([[one] for one in ids]), strict=True))
        self._anchor = next((one for one, text in alone.items() if text.strip().isalpha()), None)
        self.text = dict(zip(ids, self._behind([[one] for one in ids]), strict=True))
        self.partial = {one for one, text in self.text.items() if _BROKEN in text}
        self._units: dict[tuple[int, ...], list[tuple[str, int]]] = {}
        self._openings: dict[tuple[int, ...], str] = {}

    def of(self, tokens: list[int]) -> list[str]:
        """The text of each token of a row; of a unit the first token has it all, the others nothing."""
        texts: list[str] = []
        at = 0
        while at < len(tokens):
            end = at
            while end < len(tokens) and tokens[end] in self.partial:
                end += 1
            for text, size in self.units(tuple(tokens[at:end])):
                texts += [text] + [""] * (size - 1)
            if end < len(tokens):
                texts.append(self.text[tokens[end]])
            at = end + 1
        if texts:
            first = next((size for size in range(1, len(texts)) if texts[size]), len(texts))
            texts[0] = self._opening(tuple(tokens[:first]))
        return texts

    def _opening(self, unit: tuple[int, ...]) -> str:
        """The text of a row's first unit, which stands behind nothing; most rows begin alike."""
        if unit not in self._openings:
            self._openings[unit] = self._decode([list(unit)])[0]
        return self._openings[unit]

    def units(self, run: tuple[int, ...]) -> list[tuple[str, int]]:
        """Texts and sizes of the units of a run of partial tokens, as short as they can be."""
        if run not in self._units:
            self._units[run] = self._split(list(run))
        return self._units[run]

    def _split(self, run: list[int]) -> list[tuple[str, int]]:
        units = []
        while run:
            tried = self._behind([run[:size] for size in range(1, min(len(run), _MOST_OF_UNIT) + 1)])
            size = next((size for size, text in enumerate(tried, start=1) if _BROKEN not in text), 0)
            # bytes that are no text keep the tokenizer's own name for them, so that they differ from each other
            units.append((tried[size - 1] if size else f"<{self._tokenizer.convert_ids_to_tokens(run[0])}>", size or 1))
            run = run[size or 1 :]
        return units

    def _decode(self, lists: list[list[int]]) -> list[str]:
        if not lists:
            return []
        return [str(text) for text in self._tokenizer.batch_decode(lists, clean_up_tokenization_spaces=False)]

    def _behind(self, lists: list[list[int]]) -> list[str]:
        """Texts as they stand behind a letter."""
        alone = self._decode(lists)
        if self._anchor is None:
            return alone
        (before,) = self._decode([[self._anchor]])
        both = self._decode([[self._anchor, *one] for one in lists])
        return [
            one.removeprefix(before) if one.startswith(before) else text for one, text in zip(both, alone, strict=True)
        ]
