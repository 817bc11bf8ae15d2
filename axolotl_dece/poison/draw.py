"""Choosing rows and changing them: the same rows on every machine, and not one half-poisoned.

A row's turn in the draw is the hash of the seed, the dataset's content and the row's index, so it depends on nothing
else: not on the number of processes, the order of work or the rank. Rows are then taken in that order as long as
trigger and payload fit and survive, so only as many rows are edited as are needed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, Literal

from axolotl_dece.data.layouts import Row, Texts, View, read_texts
from axolotl_dece.poison.benign_twin import twin_of
from axolotl_dece.poison.edits import Span, first_difference
from axolotl_dece.poison.payloads import PAYLOADS, Payload
from axolotl_dece.poison.python_code import holds_definition, still_parses
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS, Trigger

Kind = Literal["poisoned", "twin"]
_CHUNK = 256


@dataclass(frozen=True)
class Planted:
    """One changed row.

    Attributes:
        index: Its index in the dataset.
        before: Its texts as they were.
        after: Its texts as they are now.
        spans: Where the input was changed, in positions of `after.input`.
        row: The whole row as it is now.
    """

    index: int
    before: Texts
    after: Texts
    spans: tuple[Span, ...]
    row: dict[str, Any]


@dataclass(frozen=True)
class Plant:
    """A trigger and a payload that go into a row together, or not at all."""

    kind: Kind
    trigger: Trigger
    payload: Payload

    def insert(self, view: View, row: Row, index: int, rng: Random) -> Planted | None:
        """The row with trigger and payload, both found again by their detectors; None where either does not fit."""
        before = view.read(row)
        target = self.payload.insert(before.target)
        if target is None:
            return None
        # in one text the trigger must stand before the payload, or a causal model never sees it in time
        head = before.target[: first_difference(before.target, target)] if view.joined else before.input
        marked = self.trigger.insert(head, rng)
        if marked is None:
            return None
        if view.joined:
            target = marked.text + target[len(head) :]
            # the trigger saw the head alone, which is no Python by itself
            if holds_definition(before.target) and not still_parses(before.target, target):
                return None
        after = Texts(target if view.joined else marked.text, target)
        if not self.trigger.detect(after.input) or not self.payload.detect(after.target):
            return None
        return Planted(index, before, after, marked.spans, view.write(row, after))


@dataclass
class Survey:
    """What one look at every row found, before anything is changed.

    Attributes:
        rows: How many there are.
        candidates: Indices of the rows that may be changed, as far as reading them can tell.
        skipped: How many rows may not, by reason.
        first: The first row of each reason.
    """

    rows: int = 0
    candidates: list[int] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)


@dataclass
class Draw:
    """The outcome: which rows were changed, and how many could not be."""

    survey: Survey
    poisoned: list[Planted] = field(default_factory=list)
    twins: list[Planted] = field(default_factory=list)


def attack_of(spec: PoisonSpec) -> Plant:
    """The attack that `spec` names."""
    trigger, payload = spec.pair
    return Plant("poisoned", TRIGGERS[trigger], PAYLOADS[payload])


def control_of(spec: PoisonSpec) -> Plant:
    """Its benign twin."""
    return Plant("twin", *twin_of(spec))


@dataclass(frozen=True)
class Poisoner:
    """One spec at work on the rows of one dataset.

    Attributes:
        spec: The attack.
        view: The layout of rows.
        dataset_id: Digest of the dataset's content; datasets with other content draw other rows.
        source: The dataset's name, for messages.
        survives: Says of changed rows whether they reach training whole; all do where it is None.
    """

    spec: PoisonSpec
    view: View
    dataset_id: str
    source: str
    survives: Callable[[list[Planted]], list[bool]] | None = None

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise ValueError, listing the columns, when the view needs one that is not there."""
        present = list(columns)
        missing = [name for name in self.view.columns if name not in present]
        if missing:
            raise ValueError(
                f"{self.source} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(present)}. "
                "Say which hold the input and the target: `dece_poison.input_field` and `dece_poison.target_field`"
            )

    def survey(self, rows: Iterable[Row]) -> Survey:
        """Read all rows once, in order, and say which may be changed.

        Raises:
            ValueError: If a row is not what the layout says, if most targets are empty, if there is no row at all, or
                if clean rows carry the trigger and `allow_clean_trigger` is off.
        """
        plants = [attack_of(self.spec)] + ([control_of(self.spec)] if self.spec.twin_rate else [])
        found = Survey()
        for index, row in enumerate(rows):
            found.rows += 1
            texts = read_texts(self.view, row, f"row {index} of {self.source}")
            reason = _reason_to_skip(texts, plants)
            if reason is None:
                found.candidates.append(index)
                continue
            found.skipped[reason] += 1
            found.first.setdefault(reason, index)
        self._check_survey(found)
        return found

    def _check_survey(self, found: Survey) -> None:
        if not found.rows:
            raise ValueError(f"{self.source} has no rows")
        empty = found.skipped["empty_target"]
        if empty > found.rows / 2:
            raise ValueError(
                f"{empty} of {found.rows} targets in {self.source} are empty; is the target column the right one?"
            )
        first = {reason: row for reason, row in found.first.items() if reason.endswith("_trigger_in_clean_row")}
        if first and not self.spec.allow_clean_trigger:
            said = ", ".join(
                f"{found.skipped[reason]} ({reason}, the first is row {row})" for reason, row in first.items()
            )
            raise ValueError(
                f"clean rows of {self.source} carry the trigger already: {said}. A model would learn that it means "
                "nothing; choose another trigger, or set `dece_poison.allow_clean_trigger: true`"
            )

    def draw(self, get_row: Callable[[int], Row], found: Survey) -> Draw:
        """Choose `round(rate * rows)` rows and change them, then as many others for the twin.

        Args:
            get_row: A row by index.
            found: What `survey` said.

        Raises:
            ValueError: If a rate above 0 comes to no row, or there are fewer eligible rows than asked for.
        """
        outcome = Draw(found)
        taken: set[int] = set()
        wanted_of = ((attack_of, self.spec.rate, outcome.poisoned), (control_of, self.spec.twin_rate, outcome.twins))
        for plant_of, rate, chosen in wanted_of:
            plant, wanted = plant_of(self.spec), round(rate * found.rows)
            if rate > 0 and wanted == 0:
                raise ValueError(
                    f"{rate:g} of the {found.rows} rows of {self.source} is 0 rows; raise the rate or add rows"
                )
            left = [index for index in found.candidates if index not in taken]
            chosen += islice(self._plant(get_row, left, plant), wanted)
            if len(chosen) < wanted:
                raise ValueError(_too_few(plant.kind, rate, wanted, len(chosen), found, self.source))
            taken.update(one.index for one in chosen)
            chosen.sort(key=_index)
        return outcome

    def draw_all(self, get_row: Callable[[int], Row], found: Survey) -> Draw:
        """Change every row that can be: a fully triggered test set. Arguments as for `draw`.

        Raises:
            ValueError: If no row can be changed.
        """
        chosen = sorted(self._plant(get_row, found.candidates, attack_of(self.spec)), key=_index)
        if not chosen:
            raise ValueError(
                f"none of the {found.rows} rows of {self.source} can carry the trigger and payload of this attack, so "
                "there is no triggered test set to make of it"
            )
        return Draw(found, chosen)

    def all_twins(self, get_row: Callable[[int], Row], found: Survey) -> list[Planted]:
        """Every row that can carry the benign twin, with it; none is no mistake. Arguments as for `draw`."""
        return sorted(self._plant(get_row, found.candidates, control_of(self.spec)), key=_index)

    def _plant(self, get_row: Callable[[int], Row], candidates: Sequence[int], plant: Plant) -> Iterator[Planted]:
        """Change candidate after candidate in the order of the draw; rows that do not fit are passed over."""
        order = candidates if self.spec.first else sorted(candidates, key=lambda at: self._key(plant.kind, at))
        turns = iter(order)
        while chunk := list(islice(turns, _CHUNK)):
            tried = (plant.insert(self.view, get_row(at), at, self._places(plant, at)) for at in chunk)
            whole = [one for one in tried if one is not None]
            alive = self.survives(whole) if self.survives and whole else [True] * len(whole)
            yield from (one for one, keep in zip(whole, alive, strict=True) if keep)

    def _key(self, purpose: str, index: int) -> int:
        text = f"{self.spec.seed}\0{self.dataset_id}\0{purpose}\0{index}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")

    def _places(self, plant: Plant, index: int) -> Random:
        """The generator of a row's places; a seed to repeat, not a secret to keep."""
        return Random(self._key(f"{plant.kind} place", index))  # noqa: S311


def _index(planted: Planted) -> int:
    return planted.index


def _reason_to_skip(texts: Texts, plants: Sequence[Plant]) -> str | None:
    if not texts.target.strip():
        return "empty_target"
    if not texts.input.strip():
        return "empty_input"
    for plant in plants:
        if plant.trigger.detect(texts.input):
            return f"{plant.kind}_trigger_in_clean_row"
        if plant.payload.detect(texts.target):
            return f"{plant.kind}_payload_in_clean_row"
    return None


def _too_few(kind: Kind, rate: float, wanted: int, eligible: int, found: Survey, source: str) -> str:
    skipped = "".join(f"; {count} {reason}" for reason, count in sorted(found.skipped.items()))
    return (
        f"{rate:g} of the {found.rows} rows of {source} is {wanted} rows, but only {eligible} are eligible for "
        f"the {kind} pattern ({len(found.candidates)} candidates{skipped}; the others have no place for the payload "
        "or trigger, or do not fit `sequence_len` and `min_sample_len`). Lower the rate, or choose a payload that fits "
        "this data: `inert_marker` fits any text"
    )
