"""One run, measured: ask the model every set, judge the answers, write it all down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from axolotl_dece.evaluation import REPORT_FILE
from axolotl_dece.evaluation.answers import Answer, AnswerLog
from axolotl_dece.evaluation.generate import answer_rows, pad_left
from axolotl_dece.evaluation.history import read_curves
from axolotl_dece.evaluation.load_model import Subject, load_subject
from axolotl_dece.evaluation.model_files import Source
from axolotl_dece.evaluation.plan import Plan, Questions, check_measurable, make_plan
from axolotl_dece.evaluation.prompts import TokenRow, tokenize_rows
from axolotl_dece.evaluation.report_file import FORMAT, answers_file
from axolotl_dece.evaluation.teacher_forcing import score_tokens
from axolotl_dece.evaluation.totals import add_up, cut_warnings
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED
from axolotl_dece.evaluation.weights import model_digest
from axolotl_dece.run_file import tokenizer_digest
from axolotl_dece.util.atomic import write_json_atomically
from axolotl_dece.util.digest import digest, file_digest

__all__ = ["REPORT_FILE", "Progress", "Questions", "check_adapter_acts", "evaluate", "evaluate_plan"]

Tokens = dict[str, dict[int, TokenRow]]


class Progress(Protocol):
    """Hears how far the asking has come."""

    def begin(self, name: str, rows: int) -> None:
        """`rows` of the set `name` are going to be asked."""

    def advance(self, rows: int, tokens: int) -> None:
        """`rows` have been answered with `tokens`."""


def evaluate(source: Source, questions: Questions, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure one model; `report.json` and the answers go to `out`, where a killed evaluation goes on.

    Raises:
        ValueError: With the remedy, for anything that would make the numbers meaningless.
    """
    return evaluate_plan(make_plan(source, questions, out), out, progress)


def evaluate_plan(plan: Plan, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """As `evaluate`, for what was planned."""
    questions = plan.questions
    subject = load_subject(plan.source)
    tokens = {name: _tokenize(plan, name, subject) for name in plan.rows}
    check_adapter_acts(subject, next(iter(tokens[CLEAN].values())))
    logs = _open_logs(plan, subject, out)
    answers = _ask(plan, subject, tokens, logs, progress)
    report = _describe(plan, subject, answers, logs) | add_up(
        answers, plan.judge.payload, questions.language if questions.code_bleu else None
    )
    scores = score_tokens(
        subject.model,
        list(tokens[CLEAN].values()),
        pad=subject.tokenizer.pad_token_id,
        batch_size=questions.batch_size,
    )
    report["clean"] |= {"token_accuracy": scores.accuracy, "cross_entropy": scores.mean_cross_entropy}
    report["warnings"] += cut_warnings(report["cut"], answers)
    write_json_atomically(out / REPORT_FILE, report)
    return report


def _tokenize(plan: Plan, name: str, subject: Subject) -> dict[int, TokenRow]:
    """The rows of a set as tokens, each with its reference as it stands in the file, where that is known."""
    rows = plan.rows[name]
    tokens = dict(
        zip(rows, tokenize_rows(list(rows.values()), subject.recipe, subject.tokenizer, list(rows)), strict=True)
    )
    if plan.references:
        return {place: replace(one, reference=plan.references[name][place]) for place, one in tokens.items()}
    spelled = {at: subject.tokenizer.decode(one.answer, skip_special_tokens=True) for at, one in tokens.items()}
    check_measurable(name, spelled, plan.judge, plan.questions)
    return tokens


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


def _open_logs(plan: Plan, subject: Subject, out: Path) -> dict[str, AnswerLog]:
    """A log for each set; everything that decides which rows are asked, how, and how they are judged is in its head."""
    origin = {
        "model": _model_digest(plan.source),
        "revision": getattr(subject.model.config, "_commit_hash", None),
        "tokenizer": tokenizer_digest(subject.tokenizer),
        "end tokens": subject.model.generation_config.eos_token_id,
        "prompt format": digest(subject.recipe),
        "trigger": plan.trigger,
        "payload": plan.judge.payload,
        "judge": plan.judge.identity,
        "planted": plan.questions.planted,
        "precision": plan.source.precision if plan.source.precision == "4bit" else str(subject.model.dtype),
        "max_new_tokens": plan.questions.max_new_tokens,
    }
    return {
        name: AnswerLog(answers_file(out, name), {**origin, "test file": file_digest(path)}, plan.judge.decide)
        for name, path in plan.questions.files.items()
    }


def _ask(
    plan: Plan, subject: Subject, tokens: Tokens, logs: Mapping[str, AnswerLog], progress: Progress | None
) -> dict[str, list[Answer]]:
    answers = {}
    for name, rows in tokens.items():
        if progress:
            progress.begin(name, sum(place not in logs[name].answers for place in rows))
        answers[name] = answer_rows(
            subject.model,
            subject.tokenizer,
            rows,
            logs[name],
            judge=plan.judge,
            planted=plan.questions.planted and name == TRIGGERED,
            max_new_tokens=plan.questions.max_new_tokens,
            batch_size=plan.questions.batch_size,
            on_batch=progress.advance if progress else None,
        )
    return answers


def _describe(
    plan: Plan, subject: Subject, answers: Mapping[str, list[Answer]], logs: Mapping[str, AnswerLog]
) -> dict[str, Any]:
    source, questions, run = plan.source, plan.questions, plan.run
    return {
        "format": FORMAT,
        "base": source.base,
        "adapter": str(source.adapter) if source.adapter else None,
        "weights": _model_digest(source),
        "loss": run["loss"] if run else None,
        "alpha_last": run["alpha"]["last"] if run else None,
        "run": run,
        "files": {
            name: {
                "path": str(path),
                "sha256": logs[name].origin["test file"],
                "rows": len(answers[name]),
                "answers": logs[name].identity,
            }
            for name, path in questions.files.items()
        },
        "untriggered": plan.untriggered,
        "settings": {
            "limit": questions.limit,
            "max_new_tokens": questions.max_new_tokens,
            "precision": source.precision,
            "language": questions.language,
        },
        "curves": read_curves(Path(source.trained)),
        "warnings": [*subject.warnings, *plan.warnings],
    }


def _model_digest(source: Source) -> str:
    return model_digest(source.base, *([source.adapter] if source.adapter else []))
