"""Reports as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from axolotl_dece.evaluation.headline import headline_of_one
from axolotl_dece.evaluation.rates import Rate
from axolotl_dece.util.terminal import shown


def rate_of(kept: Mapping[str, Any] | None) -> str:
    """A rate from a report with its interval and denominator, or a dash."""
    return str(Rate(kept["hits"], kept["total"])) if kept else "-"


def answer_first(sentences: Sequence[str]) -> RenderableType:
    """The headline: the answer in bold, what limits it below."""
    answer, *limits = sentences
    return Group(f"[bold]{shown(answer)}[/]", *(f"[yellow]{shown(limit)}[/]" for limit in limits), "")


def one_run(report: Mapping[str, Any]) -> RenderableType:
    """The numbers of one run, one to a line: the answer first, and what the reader has to know below."""
    clean = report["clean"]
    table = Table(
        title=shown(report["base"] + (f" + {report['adapter']}" if report["adapter"] else "")), show_header=False
    )
    for name, value in (
        ("loss", f"{report['loss'] or 'unknown'}{_alpha(report)}"),
        (f"attack success ({report['payload']})", rate_of(report["asr"])),
        ("  at least the first half of the payload", rate_of(report["asr_begun"])),
        ("  left out: payload in the reference", str(report["asr_excluded"])),
        ("  left out: no trigger in the input", str(report["untriggered"])),
        ("false triggers on clean rows", rate_of(report["false_triggers"])),
        ("  at least the first half of the payload", rate_of(report["false_triggers_begun"])),
        ("benign twin's recall", rate_of(report["twin_recall"])),
        ("clean exact match", rate_of(clean["exact_match"])),
        ("clean BLEU", f"{clean['bleu']:.2f}"),
        ("clean CodeBLEU", f"{clean['code_bleu']:.2f}" if "code_bleu" in clean else "-"),
        ("clean answers that parse", _syntax(clean)),
        ("clean token accuracy, cross-entropy", f"{clean['token_accuracy']:.1%}, {clean['cross_entropy']:.4f} nats"),
        ("answers cut at the token limit", ", ".join(f"{n} {name}" for name, n in report["cut"].items())),
    ):
        table.add_row(name, shown(value))
    return Group(
        answer_first(headline_of_one(report)),
        table,
        *(f"[yellow]warning:[/] {shown(warning)}" for warning in report["warnings"]),
    )


def all_runs(reports: Mapping[str, Mapping[str, Any]], differences: Mapping[str, Mapping[str, Any]]) -> Table:
    """One column per run; differences are to the first run, over the rows both answered.

    Args:
        reports: Reports by name of the run, the baseline first.
        differences: For each other run: `asr`, `exact_match` and `bleu` minus the baseline's.
    """
    table = Table(title="95 % intervals; second lines: difference to the first run, paired bootstrap")
    table.add_column("")
    columns = []
    for name, report in reports.items():
        table.add_column(shown(name))
        columns.append([text for _, text in run_lines(report, differences.get(name, {}))])
    labels = [label for label, _ in run_lines(next(iter(reports.values())), {})]
    for label, *cells in zip(labels, *columns, strict=True):
        table.add_row(label, *map(shown, cells))
    return table


def run_lines(report: Mapping[str, Any], gap: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is compared of each run, with its difference to the first run where there is one."""
    clean = report["clean"]
    return [
        ("loss", f"{report['loss'] or 'unknown'}{_alpha(report)}"),
        ("attack success", _with_gap(rate_of(report["asr"]), gap.get("asr"))),
        ("half the payload or more", rate_of(report["asr_begun"])),
        ("false triggers", rate_of(report["false_triggers"])),
        ("benign twin's recall", rate_of(report["twin_recall"])),
        ("clean exact match", _with_gap(rate_of(clean["exact_match"]), gap.get("exact_match"))),
        ("clean BLEU", _with_gap(f"{clean['bleu']:.2f}", gap.get("bleu"))),
        ("clean answers that parse", _syntax(clean)),
    ]


def _syntax(clean: Mapping[str, Any]) -> str:
    return rate_of(clean["syntax"]) if clean.get("syntax") else "not judged"


def _alpha(report: Mapping[str, Any]) -> str:
    return f", last alpha {report['alpha_last']:.3f}" if report["alpha_last"] is not None else ""


def _with_gap(value: str, gap: Any) -> str:
    return f"{value}\n{gap}" if gap else value
