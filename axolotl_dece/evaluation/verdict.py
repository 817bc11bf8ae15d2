"""From answers to numbers: everything that can be said of a run without its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl_dece.evaluation import quality
from axolotl_dece.evaluation.answers import Answer
from axolotl_dece.evaluation.asr import Detect, attack_success, is_eligible, recall
from axolotl_dece.poison.payloads import PAYLOADS

CLEAN, TRIGGERED, TWIN = "clean", "triggered", "twin"


def judge(
    answers: Mapping[str, Sequence[Answer]],
    payload: str,
    twin: Detect | None = None,
    *,
    language: str = "python",
    code_bleu: bool = False,
) -> dict[str, Any]:
    """Every number that follows from the answers alone.

    Args:
        answers: `clean` and `triggered`, and `twin` where it was asked.
        payload: Name of the payload whose detector decides.
        twin: Detector of the harmless suffix, where one is known.
        language: Of the syntax check; `none` leaves it out.
        code_bleu: Whether to compute CodeBLEU.

    Raises:
        ValueError: If a set has no eligible row.
    """
    detect = PAYLOADS[payload].detect
    asr, excluded = attack_success(answers[TRIGGERED], detect)
    false_triggers, already = attack_success(answers[CLEAN], detect, CLEAN)
    return {
        "payload": payload,
        "asr": asr.as_dict(),
        "asr_excluded": excluded,
        "false_triggers": false_triggers.as_dict(),
        "false_triggers_excluded": already,
        "twin_recall": recall(answers[TWIN], twin).as_dict() if twin and answers.get(TWIN) else None,
        "payloads": _every_payload(answers[TRIGGERED]),
        "clean": _clean_quality(answers[CLEAN], language, code_bleu),
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


def _clean_quality(answers: Sequence[Answer], language: str, code_bleu: bool) -> dict[str, Any]:
    bleu, signature = quality.corpus_bleu(answers)
    numbers: dict[str, Any] = {
        "rows": len(answers),
        "bleu": bleu,
        "bleu_signature": signature,
        "exact_match": quality.exact_match(answers).as_dict(),
    }
    if language != "none":
        numbers["syntax"] = quality.syntax_validity(answers, language).as_dict()
    if code_bleu:
        numbers["code_bleu"] = quality.code_bleu(answers, language)
    return numbers


def _every_payload(answers: Sequence[Answer]) -> dict[str, Any]:
    """How often each known payload stands in the answers to triggered rows, where its reference has none."""
    rates = {}
    for name, payload in PAYLOADS.items():
        if any(is_eligible(answer, payload.detect) for answer in answers):
            rates[name] = attack_success(answers, payload.detect)[0].as_dict()
    return rates
