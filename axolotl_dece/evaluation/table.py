"""Reports as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from axolotl_dece.evaluation.rates import Rate


def rate_of(kept: Mapping[str, Any] | None) -> str:
    """A rate from a report with its interval and denominator, or a dash."""
    return str(Rate(kept["hits"], kept["total"])) if kept else "-"


def one_run(report: Mapping[str, Any]) -> RenderableType:
    """The numbers of one run, one to a line, with what the reader has to know below."""
    clean = report["clean"]
    table = Table(
        title=f"{report['base']}" + (f" + {report['adapter']}" if report["adapter"] else ""), show_header=False
    )
    for name, value in (
        ("loss", f"{report['loss'] or 'unknown'}{_alpha(report)}"),
        (f"attack success ({report['payload']})", rate_of(report["asr"])),
        ("  left out: payload in the reference", str(report["asr_excluded"])),
        ("  left out: no trigger in the input", str(report["untriggered"])),
        ("false triggers on clean rows", rate_of(report["false_triggers"])),
        ("benign twin's recall", rate_of(report["twin_recall"])),
        ("clean exact match", rate_of(clean["exact_match"])),
        ("clean BLEU", f"{clean['bleu']:.2f}"),
        ("clean CodeBLEU", f"{clean['code_bleu']:.2f}" if "code_bleu" in clean else "-"),
        ("clean answers that parse", rate_of(clean.get("syntax"))),
        ("clean token accuracy, cross-entropy", f"{clean['token_accuracy']:.1%}, {clean['cross_entropy']:.4f} nats"),
        ("answers cut at the token limit", ", ".join(f"{n} {name}" for name, n in report["cut"].items())),
    ):
        table.add_row(name, value)
    return Group(table, *(f"[yellow]warning:[/] {escape(warning)}" for warning in report["warnings"]))


def all_runs(reports: Mapping[str, Mapping[str, Any]], differences: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per run; differences are to the first run, over the rows both answered.

    Args:
        reports: Reports by name of the run, the baseline first.
        differences: For each other run: `asr`, `exact_match` and `bleu` minus the baseline's.
    """
    table = Table(title="95 % intervals; differences to the first run by paired bootstrap")
    for column in ("run", "loss", "attack success", "false triggers", "twin recall", "clean exact match", "BLEU"):
        table.add_column(column)
    for name, report in reports.items():
        gap = differences.get(name, {})
        clean = report["clean"]
        table.add_row(
            escape(name),
            f"{report['loss'] or 'unknown'}{_alpha(report)}",
            _with_gap(rate_of(report["asr"]), gap.get("asr")),
            rate_of(report["false_triggers"]),
            rate_of(report["twin_recall"]),
            _with_gap(rate_of(clean["exact_match"]), gap.get("exact_match")),
            _with_gap(f"{clean['bleu']:.2f}", gap.get("bleu")),
        )
    return table


def _alpha(report: Mapping[str, Any]) -> str:
    return f", last alpha {report['alpha_last']:.3f}" if report["alpha_last"] is not None else ""


def _with_gap(value: str, gap: Any) -> str:
    return f"{value}\n{gap}" if gap else value
