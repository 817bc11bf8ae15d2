"""One run, measured: ask the model every set, judge the answers, write it all down."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from axolotl_dece.evaluation.answers import Answer, AnswerLog
from axolotl_dece.evaluation.generate import answer_rows, pad_left
from axolotl_dece.evaluation.history import read_curves
from axolotl_dece.evaluation.load_model import Source, Subject, load_subject
from axolotl_dece.evaluation.prompts import TokenRow, tokenize_rows
from axolotl_dece.evaluation.quality import PARSERS
from axolotl_dece.evaluation.rows import read_rows
from axolotl_dece.evaluation.select_rows import find_view, keep_triggered, mark_planted, with_references
from axolotl_dece.evaluation.teacher_forcing import score_tokens
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED, TWIN, cut_warnings, judge
from axolotl_dece.poison.benign_twin import twin_of
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import ATTACKS, PoisonSpec
from axolotl_dece.util.atomic import write_json_atomically
from axolotl_dece.util.digest import digest, file_digest

REPORT_FILE = "report.json"
FORMAT = 1
_NO_VIEW = (
    "the columns of this dataset type are not known: inputs were not searched for the trigger, and references are as "
    "the tokenizer spells them"
)


class Progress(Protocol):
    """Hears how far the asking has come."""

    def begin(self, name: str, rows: int) -> None:
        """`rows` of the set `name` are going to be asked."""

    def advance(self, rows: int, tokens: int) -> None:
        """`rows` have been answered with `tokens`."""


class Silence:
    """Progress nobody listens to."""

    def begin(self, name: str, rows: int) -> None:
        """Nothing."""

    def advance(self, rows: int, tokens: int) -> None:
        """Nothing."""


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
class _Prepared:
    """Everything that is known before the first question is asked."""

    subject: Subject
    spec: PoisonSpec
    tokens: dict[str, list[TokenRow]]
    untriggered: int


def evaluate(source: Source, questions: Questions, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure one model; `report.json` and the answers go to `out`, where a killed evaluation goes on.

    Raises:
        ValueError: With the remedy, for anything that would make the numbers meaningless.
    """
    ready = _prepare(source, questions)
    answers = _ask(source, questions, ready, out, progress or Silence())
    report = _describe(source, questions, ready) | judge(
        answers,
        ready.spec.pair.payload,
        twin_of(ready.spec).suffix.detect,
        language=questions.language,
        code_bleu=questions.code_bleu,
    )
    pad = ready.subject.tokenizer.pad_token_id
    scores = score_tokens(ready.subject.model, ready.tokens[CLEAN], pad=pad, batch_size=questions.batch_size)
    report["clean"] |= {"token_accuracy": scores.accuracy, "cross_entropy": scores.mean_cross_entropy}
    report["warnings"] += cut_warnings(report["cut"], answers)
    write_json_atomically(out / REPORT_FILE, report)
    return report


def _prepare(source: Source, questions: Questions) -> _Prepared:
    check_settings(questions)
    rows = {name: read_rows(path, questions.limit) for name, path in questions.files.items()}
    subject = load_subject(source)
    spec = find_spec(questions, subject.recipe)
    given = len(rows[TRIGGERED])
    view = find_view(spec, subject.recipe)
    if view and not questions.payload:
        rows[TRIGGERED] = keep_triggered(rows[TRIGGERED], spec, view)
    tokens = {name: tokenize_rows(some, subject.recipe, subject.tokenizer) for name, some in rows.items()}
    if view:
        tokens = {name: with_references(some, rows[name], view) for name, some in tokens.items()}
    else:
        subject.warnings.append(_NO_VIEW)
    tokens[TRIGGERED] = mark_planted(tokens[TRIGGERED], rows[TRIGGERED], questions.planted)
    check_adapter_acts(subject, tokens[CLEAN][0])
    return _Prepared(subject, spec, tokens, given - len(rows[TRIGGERED]))


def check_settings(questions: Questions) -> None:
    """Raise ValueError, with everything at once, for settings that cannot be right."""
    problems = []
    for name in ("limit", "batch_size", "max_new_tokens"):
        value = getattr(questions, name)
        if value is not None and value < 1:
            problems.append(f"`--{name.replace('_', '-')} {value}` must be 1 or more")
    if questions.language not in (*PARSERS, "none"):
        problems.append(f"`--language {questions.language}` has no syntax check; choose {', '.join(PARSERS)} or none")
    if questions.attack and questions.attack not in ATTACKS:
        problems.append(f"`--attack {questions.attack}` is not known; choose {', '.join(ATTACKS)}")
    if questions.payload and questions.payload not in PAYLOADS:
        problems.append(f"`--payload {questions.payload}` is not known; choose {', '.join(PAYLOADS)}")
    if problems:
        raise ValueError("; ".join(problems))


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


def check_adapter_acts(subject: Subject, row: TokenRow) -> None:
    """Raise ValueError when the adapter changes nothing: its numbers would be those of the base model."""
    if not hasattr(subject.model, "disable_adapter"):
        return
    ids = pad_left([row.prompt], subject.tokenizer.pad_token_id)[0].to(subject.model.device)
    with torch.inference_mode():
        with_it = subject.model(input_ids=ids).logits
        with subject.model.disable_adapter():
            without = subject.model(input_ids=ids).logits
    if torch.equal(with_it, without):
        raise ValueError(
            "the adapter changes nothing: with and without it the model says the same. Was it saved before training, "
            "or is it for another base model?"
        )


def _ask(
    source: Source, questions: Questions, ready: _Prepared, out: Path, progress: Progress
) -> dict[str, list[Answer]]:
    subject = ready.subject
    origin = {
        "model": weights_digest(source),
        "prompt format": digest(subject.recipe),
        "attack": list(ready.spec.pair),
        "precision": source.precision,
        "max_new_tokens": questions.max_new_tokens,
    }
    answers = {}
    for name, rows in ready.tokens.items():
        log = AnswerLog(out / f"{name}.jsonl", {**origin, "test file": file_digest(questions.files[name])})
        progress.begin(name, sum(number not in log.answers for number in range(len(rows))))
        everything = answer_rows(
            subject.model,
            subject.tokenizer,
            rows,
            log,
            max_new_tokens=questions.max_new_tokens,
            batch_size=questions.batch_size,
            on_batch=progress.advance,
        )
        answers[name] = everything[: len(rows)]
    return answers


def _describe(source: Source, questions: Questions, ready: _Prepared) -> dict[str, Any]:
    run = ready.subject.run
    return {
        "format": FORMAT,
        "base": source.base,
        "adapter": str(source.adapter) if source.adapter else None,
        "loss": run["loss"] if run else None,
        "alpha_last": run["alpha"]["last"] if run else None,
        "run": run,
        "files": {name: {"path": str(p), "sha256": file_digest(p)} for name, p in questions.files.items()},
        "untriggered": ready.untriggered,
        "settings": {
            "max_new_tokens": questions.max_new_tokens,
            "precision": source.precision,
            "language": questions.language,
        },
        "curves": read_curves(Path(source.trained)),
        "warnings": list(ready.subject.warnings),
    }


def weights_digest(source: Source) -> str:
    """Digest that changes with the weights: of each file its name, its size and its first and last MiB."""
    state = hashlib.sha256(source.base.encode())
    folders = [Path(source.base), *([source.adapter] if source.adapter else [])]
    for path in sorted(file for folder in folders for file in folder.glob("*.safetensors")):
        size = path.stat().st_size
        state.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            state.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            state.update(file.read())
    return state.hexdigest()
