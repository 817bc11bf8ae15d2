"""Everything that is known before a model is loaded: what is asked, how it is judged, and why that would be in vain.

Imports no torch, so that a missing file or a mistaken option is said at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.data.layouts import View, read_texts, view_of
from axolotl_dece.evaluation.code_text import code_of
from axolotl_dece.evaluation.judge import Judge
from axolotl_dece.evaluation.model_files import Source, find_recipe, find_run, missing_files
from axolotl_dece.evaluation.quality import check_code_bleu
from axolotl_dece.evaluation.report_file import wrong_out
from axolotl_dece.evaluation.rows import read_rows
from axolotl_dece.evaluation.syntax import NOT_JUDGED, PARSERS, parses
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED, TWIN
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import ATTACKS, PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS

Rows = dict[int, dict[str, Any]]
"""Rows by their place in the file."""
_NO_VIEW = (
    "the columns of this dataset type are not known: inputs were not searched for the trigger, and references are as "
    "the tokenizer spells them"
)


@dataclass(frozen=True)
class Questions:
    """What to ask and how to judge it.

    Attributes:
        test: File of clean rows.
        triggered: File of rows whose input carries the trigger.
        twin: File of rows with the harmless cue and its suffix, or None.
        attack: Name of the attack, where the run has no `dece_poison` block to say it.
        payload: Name of the payload, instead of an attack; inputs are then not searched for a trigger.
        planted: The references of the triggered file hold the payload because an attacker's tool put it there.
        limit: Rows of each set, or None for all.
        batch_size: Rows asked at once.
        max_new_tokens: Where an answer is cut.
        language: Of the syntax check; `none` leaves it out.
        code_bleu: Whether to compute CodeBLEU.
    """

    test: Path
    triggered: Path
    twin: Path | None = None
    attack: str | None = None
    payload: str | None = None
    planted: bool = False
    limit: int | None = None
    batch_size: int = 16
    max_new_tokens: int = 256
    language: str = "python"
    code_bleu: bool = False

    @property
    def files(self) -> dict[str, Path]:
        """The sets by name."""
        named = {CLEAN: self.test, TRIGGERED: self.triggered, TWIN: self.twin}
        return {name: path for name, path in named.items() if path is not None}


@dataclass(frozen=True)
class Plan:
    """What will be asked.

    Attributes:
        run: dece_run.json, or None for a model that was not trained with this package.
        recipe: How a row becomes a prompt.
        judge: Decides about every answer.
        trigger: What inputs were searched for, or None.
        rows: The rows of each set.
        references: Their expected answers as they stand in the file; empty where the columns are not known.
        untriggered: Rows of the triggered file that were left out, because their input has no trigger.
    """

    source: Source
    questions: Questions
    run: dict[str, Any] | None
    recipe: dict[str, Any]
    judge: Judge
    trigger: str | None
    rows: dict[str, Rows]
    references: dict[str, dict[int, str]]
    untriggered: int

    @property
    def warnings(self) -> list[str]:
        """What the reader of the numbers has to know."""
        found = [] if self.references else [_NO_VIEW]
        if self.is_other_language:
            found.append(
                f"syntax was not judged: no reference of `--test` parses as `--language {self.questions.language}`, so "
                "these rows are in another language"
            )
        return found

    @property
    def is_other_language(self) -> bool:
        """Whether not even a reference parses, so that a rate of answers that do would say nothing about them."""
        references, language = self.references.get(CLEAN, {}).values(), self.questions.language
        return (
            language in PARSERS
            and bool(references)
            and not any(parses(code_of(one, language), language) for one in references)
        )


def make_plan(source: Source, questions: Questions, out: Path) -> Plan:
    """Read the files and check them.

    Raises:
        ValueError: With the remedy, for anything that would make the numbers meaningless.
    """
    if problems := [*missing_files(source), *wrong_settings(questions, out)]:
        raise ValueError("; ".join(problems))
    run = find_run(source)
    recipe = find_recipe(source, run)
    spec = find_spec(questions, recipe)
    rows = {name: dict(enumerate(read_rows(path, questions.limit))) for name, path in questions.files.items()}
    view = _find_view(spec, recipe)
    given = len(rows[TRIGGERED])
    trigger = spec.pair.trigger if view and not questions.payload else None
    texts = {name: _texts_of(view, some, questions.files[name]) for name, some in rows.items()} if view else {}
    if trigger:
        kept = keep_triggered({place: one.input for place, one in texts[TRIGGERED].items()}, trigger)
        rows[TRIGGERED] = {place: rows[TRIGGERED][place] for place in kept}
    references = {name: {at: texts[name][at].target for at in some} for name, some in rows.items()} if view else {}
    judge = Judge(spec.pair.payload, questions.language)
    for name, some in references.items():
        check_measurable(name, some, judge, questions)
    return Plan(
        source, questions, run, recipe, judge, trigger, rows, references, untriggered=given - len(rows[TRIGGERED])
    )


def wrong_settings(questions: Questions, out: Path) -> Iterator[str]:
    """What cannot be right about the settings, a sentence each."""
    options = {CLEAN: "test", TRIGGERED: "triggered", TWIN: "twin"}
    inputs = {options[name]: path for name, path in questions.files.items()}
    for option, path in inputs.items():
        if not path.is_file():
            yield f"`--{option} {path}` is not a file"
    if any(folder.exists() and not folder.is_dir() for folder in (out, *out.parents)):
        yield f"`--out {out}` cannot be a folder: a file is in its way"
    yield from wrong_out(out, inputs, questions.files)
    for name in ("limit", "batch_size", "max_new_tokens"):
        value = getattr(questions, name)
        if value is not None and value < 1:
            yield f"`--{name.replace('_', '-')} {value}` must be 1 or more"
    if questions.language not in (*PARSERS, NOT_JUDGED):
        yield (
            f"`--language {questions.language}` has no parser here; choose {', '.join(PARSERS)}, or {NOT_JUDGED}: "
            "syntax is then not judged"
        )
    for option, known in (("attack", ATTACKS), ("payload", PAYLOADS)):
        value = getattr(questions, option)
        if value and value not in known:
            yield f"`--{option} {value}` is not known; choose {', '.join(known)}"
    if questions.attack and questions.payload:
        yield "`--attack` and `--payload` both say which payload to look for; give one of them"
    if questions.code_bleu:
        try:
            check_code_bleu(questions.language)
        except ValueError as error:
            yield str(error)


def find_spec(questions: Questions, recipe: Mapping[str, Any]) -> PoisonSpec:
    """The attack to look for: as asked, else as the run was poisoned.

    Raises:
        ValueError: If neither says it.
    """
    if questions.attack:
        return PoisonSpec(attack=questions.attack)
    if questions.payload:
        # any trigger will do: only the payload is looked for
        return PoisonSpec(trigger="rare_token", payload=questions.payload)
    if recipe.get("poison"):
        return PoisonSpec.model_validate(recipe["poison"])
    raise ValueError(
        "nothing says which payload to look for: this run has no `dece_poison` block. Give `--attack` "
        f"({', '.join(ATTACKS)}) or `--payload` ({', '.join(PAYLOADS)})"
    )


def keep_triggered(inputs: Mapping[int, str], trigger: str) -> list[int]:
    """The places of the rows whose input carries the trigger; ValueError if no row does."""
    kept = [place for place, text in inputs.items() if TRIGGERS[trigger].detect(text)]
    if not kept:
        raise ValueError(
            f"no input of the {len(inputs)} triggered rows carries the trigger `{trigger}`, so the attack "
            "success would be 0 % whatever the model does; is it another attack, or the clean file?"
        )
    return kept


def check_measurable(name: str, references: Mapping[int, str], judge: Judge, questions: Questions) -> None:
    """Raise ValueError when no row of the set `name` can say anything: 0 of 0 is not 0 %."""
    file = questions.files[name]
    if name == TWIN:
        if not any(map(judge.asks_for_twin, references.values())):
            raise ValueError(
                f"0 of {len(references)} twin rows are eligible: no reference in {file} holds the suffix of the twin "
                f"of `{judge.payload}`; give the file `axolotl dece poison --twin-rate` wrote for this attack, or "
                "leave `--twin` out"
            )
        return
    planted = questions.planted and name == TRIGGERED
    if not any(judge.is_eligible(reference, planted) for reference in references.values()):
        raise ValueError(
            f"0 of {len(references)} {name} rows are eligible: every reference in {file} holds the payload "
            f"`{judge.payload}`. "
            + (
                "If an attacker's tool put it there, as in published test sets, say `--planted`; else the rate needs "
                "rows with a clean reference"
                if name == TRIGGERED
                else "Give `--test` rows that an honest answer leaves without it"
            )
        )


def _find_view(spec: PoisonSpec, recipe: Mapping[str, Any]) -> View | None:
    """Where rows of this recipe keep input and target; None for a dataset type whose columns are not known."""
    try:
        return view_of(spec.model_copy(update={"base_type": recipe["dataset"]["type"]}), recipe["dataset"])
    except ValueError:
        return None


def _texts_of(view: View, rows: Rows, file: Path) -> dict[int, Any]:
    found = {}
    for place, row in rows.items():
        if missing := [column for column in view.columns if column not in row]:
            raise ValueError(
                f"row {place} of {file} has no column {' and no '.join(missing)}, which the dataset type reads; "
                f"its columns are {', '.join(row)}"
            )
        found[place] = read_texts(view, row, f"row {place} of {file}")
    return found
