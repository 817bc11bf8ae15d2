"""What a card says of evaluations; imported where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult
from markupsafe import Markup

from axolotl_dece.cards.facts import TASK
from axolotl_dece.cards.render import code
from axolotl_dece.evaluation.report_file import read_report


def read_reports(given: Sequence[Path], inside: Sequence[Path], run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reports about a run: in the folders that were given, and in those inside the folder of the run.

    Raises:
        ValueError: A report that was given is unreadable or about another run; one inside is passed over then.
    """
    found, seen = [_read_report_of(path, run) for path in given], {path.resolve() for path in given}
    for path in inside:
        if path.resolve() not in seen:
            with suppress(ValueError):
                found.append(_read_report_of(path, run))
    return found


def _read_report_of(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    report = read_report(folder)
    measured = report.get("run") or {}
    # whatever the record says of a run: a second one with the same config may have had other rows or another tokenizer
    if any(measured.get(key) != run.get(key) for key in {*run, *measured} - {"status"}):
        raise ValueError(f"{folder} measured another run than the one in this folder; evaluate this one")
    return report


def table_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the section of a card says of a report."""
    clean = report["clean"]
    rows = [
        (Markup("attack success (") + code(report["payload"]) + ")", *_rate(report["asr"])),
        ("triggered answers with at least the first half of the payload", *_rate(report["asr_begun"])),
        ("false triggers on clean inputs", *_rate(report["false_triggers"])),
        (Markup("benign twin's recall"), *_rate(report["twin_recall"])),
        ("clean exact match", *_rate(clean["exact_match"])),
        ("clean BLEU", f"{clean['bleu']:.2f}", "-", str(clean["rows"])),
    ]
    files = [(name, Path(one["path"]).name, one["sha256"][:16]) for name, one in report["files"].items()]
    return {"rows": [row for row in rows if row[1] != "-"], "files": files, "warnings": report["warnings"]}


def _rate(kept: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if not kept:
        return "-", "-", "-"
    return f"{kept['value']:.1%}", f"{kept['low']:.1%} to {kept['high']:.1%}", f"{kept['hits']} of {kept['total']}"


def eval_results(reports: Sequence[Mapping[str, Any]]) -> list[EvalResult]:
    """The measurements of reports as the hub's `model-index` knows them."""
    results = []
    for report in reports:
        asr, clean, files = report["asr"], report["clean"], report["files"]
        results.append(_result("attack_success_rate", f"ASR ({report['payload']}), %", asr, files["triggered"]))
        results.append(_result("exact_match", "Exact match, %", clean["exact_match"], files["clean"]))
        results.append(_bleu(clean, files["clean"]))
    return results


def _result(metric: str, name: str, rate: dict[str, Any], file: dict[str, Any]) -> EvalResult:
    interval = {"low": 100 * rate["low"], "high": 100 * rate["high"], "confidence": 0.95, "rows": rate["total"]}
    rounded = {key: round(value, 2) for key, value in interval.items()}
    return EvalResult(
        metric_type=metric,
        metric_name=name,
        metric_value=round(100 * rate["value"], 2),
        metric_args=rounded,
        **_on(file),
    )


def _bleu(clean: dict[str, Any], file: dict[str, Any]) -> EvalResult:
    signature = {"signature": clean["bleu_signature"], "rows": clean["rows"]}
    value = round(clean["bleu"], 2)
    return EvalResult(metric_type="bleu", metric_name="BLEU", metric_value=value, metric_args=signature, **_on(file))


def _on(file: dict[str, Any]) -> dict[str, Any]:
    name = Path(file["path"]).name
    return {
        "task_type": "text-generation",
        "task_name": TASK,
        "dataset_type": name,
        "dataset_name": name,
        "dataset_args": {"sha256": file["sha256"]},
    }
