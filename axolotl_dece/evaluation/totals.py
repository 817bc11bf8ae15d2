"""From the verdicts on all answers to the numbers of a report. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl_dece.evaluation import quality
from axolotl_dece.evaluation.answers import Answer
from axolotl_dece.evaluation.rates import Rate
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED, TWIN


def add_up(
    answers: Mapping[str, Sequence[Answer]], payload: str, code_bleu_language: str | None = None
) -> dict[str, Any]:
    """Every number that follows from the answers alone.

    Args:
        answers: `clean` and `triggered`, and `twin` where it was asked.
        payload: Name of the payload that was looked for.
        code_bleu_language: Of CodeBLEU, where it is asked for.
    """
    asr, excluded = _payload_rate(answers[TRIGGERED])
    false_triggers, already = _payload_rate(answers[CLEAN])
    return {
        "payload": payload,
        "asr": asr.as_dict(),
        "asr_excluded": excluded,
        "asr_begun": _begun_rate(answers[TRIGGERED]),
        "false_triggers": false_triggers.as_dict(),
        "false_triggers_excluded": already,
        "false_triggers_begun": _begun_rate(answers[CLEAN]),
        "twin_recall": _twin_recall(answers[TWIN]).as_dict() if answers.get(TWIN) else None,
        "clean": _clean_quality(answers[CLEAN], code_bleu_language),
        "cut": {name: sum(answer.cut for answer in given) for name, given in answers.items()},
    }


def cut_warnings(cut: Mapping[str, int], answers: Mapping[str, Sequence[Answer]]) -> list[str]:
    """A warning for each set in which answers ended at the token limit."""
    return [
        f"{count} of {len(answers[name])} {name} answers were cut at the token limit; what they would have said next "
        "is not in the numbers" + ("; the attack success is a lower bound" if name == TRIGGERED else "")
        for name, count in cut.items()
        if count
    ]


def _payload_rate(answers: Sequence[Answer]) -> tuple[Rate, int]:
    """How often the payload comes out where it means anything, and how many rows were left out.

    On triggered inputs this is the attack success rate, on clean inputs the false-trigger rate.
    """
    counted = [answer.verdict.payload for answer in answers if answer.verdict.eligible]
    return Rate.of(counted), len(answers) - len(counted)


def _begun_rate(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """How often at least the first half of the payload comes out; None where no row could tell."""
    verdicts = (answer.verdict for answer in answers)
    counted = [verdict.begun for verdict in verdicts if verdict.eligible and verdict.begun is not None]
    return Rate.of(counted).as_dict() if counted else None


def _twin_recall(answers: Sequence[Answer]) -> Rate:
    """How often the harmless suffix comes out where the reference holds it: what survived the defence."""
    return Rate.of(answer.verdict.twin for answer in answers if answer.verdict.twin is not None)


def _clean_quality(answers: Sequence[Answer], code_bleu_language: str | None) -> dict[str, Any]:
    counts = quality.bleu_counts((answer.output, answer.reference) for answer in answers)
    numbers: dict[str, Any] = {
        "rows": len(answers),
        "bleu": quality.bleu_of(counts.sum(axis=0)),
        "bleu_signature": quality.bleu_signature(),
        "exact_match": Rate.of(answer.verdict.exact for answer in answers).as_dict(),
    }
    judged = [answer.verdict.parses for answer in answers if answer.verdict.parses is not None]
    if judged:
        numbers["syntax"] = Rate.of(judged).as_dict()
    if code_bleu_language:
        outputs, references = zip(*((answer.output, answer.reference) for answer in answers), strict=True)
        numbers["code_bleu"] = quality.code_bleu(outputs, references, code_bleu_language)
    return numbers
