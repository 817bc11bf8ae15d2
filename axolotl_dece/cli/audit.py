"""`axolotl dece audit`: which rows the loss held back, as a table and a page, and decisions about them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from axolotl_dece.audit import EXPORT_SUFFIXES, LEDGER_FILE, REVIEW_FILE, refuse_missing_ledger
from axolotl_dece.audit.clean import REMOVED_FILE, clean_files, write_clean
from axolotl_dece.audit.decisions import is_decisions, write_decisions
from axolotl_dece.audit.exchange import is_findings, read_marks, write_findings
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.cli.output import Reporting, answer_console, errors_said, json_option, print_json, progress_console
from axolotl_dece.cli.targets import FILE, FOLDER, FOUND_FOLDER, refuse_foreign, refuse_foreign_page, refuse_same
from axolotl_dece.util.terminal import printable

if TYPE_CHECKING:
    from axolotl_dece.audit.analyse.findings import Audit

_GIVEN = click.Path(exists=True, dir_okay=False, path_type=Path)
_WHAT = "cluster:N|FILE:LINE|row:ID|search:WORDS"


@click.command(cls=Reporting, short_help="Show which rows the loss held back, and decide about them.")
@click.argument("out", type=FOUND_FOLDER)
@click.option("--page", type=FILE, help="The page to write.  [default: OUT/_dece_audit.html]")
@click.option("--least-rows", type=click.IntRange(min=5), default=5, show_default=True, help="Rows of a cluster.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Clusters in the table.")
@click.option("--read", type=click.IntRange(min=0), default=100, show_default=True, help="Rows drawn to be read.")
@click.option("--tokenizer", help="Where the run's tokenizer is, if not in OUT.")
@click.option("--trust", multiple=True, metavar=_WHAT, help="Train these rows as under cross-entropy.")
@click.option("--drop", multiple=True, metavar=_WHAT, help="Take these rows out of training.")
@click.option("--decisions", type=_GIVEN, help="Decisions of a file: ours, of Argilla, or with one `is_..._issue`.")
@click.option("--review", is_flag=True, help="Decide here, key by key; `--write` is kept up and continued.")
@click.option("--write", type=FILE, help="File for the decisions: `dece_decisions` of the next run.")
@click.option("--clean", type=FOLDER, help="Folder for a copy of the data without the dropped rows.")
@click.option("--export", type=FILE, help="File for the findings, .parquet or .jsonl, as cleanlab and Argilla read.")
@click.option("--force", is_flag=True, help="Replace decisions, findings and copies that are there.")
@json_option
def audit(
    out: Path,
    page: Path | None,
    least_rows: int,
    top: int,
    read: int,
    tokenizer: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what a run with `dece_audit: true` held back; OUT is its output_dir.

    \b
    axolotl dece audit OUT --trust cluster:2 --drop train.jsonl:17 --write decisions.jsonl
    """
    if options["review"] and as_json:
        raise click.UsageError("--review asks in the terminal, and --json answers a program; give one of the two")
    if options["review"] and options["write"] is None:
        options["write"] = out / REVIEW_FILE
    if page is None and not options["review"]:
        page = out / "_dece_audit.html"
    wanted = _Wanted(page=page, **options)
    wanted.check()
    with errors_said():
        refuse_missing_ledger(out / LEDGER_FILE)
    from axolotl_dece.audit.analyse.findings import load_audit
    from axolotl_dece.audit.page import write_page
    from axolotl_dece.cli.audit_table import audit_facts, show_audit

    with errors_said():
        with progress_console().status("reading the ledger and testing what goes together"):
            found = load_audit(out, least_rows=least_rows, tokenizer=tokenizer)
            wanted.check_clean(found)
            lines = wanted.choose(found)
        if wanted.review:
            from axolotl_dece.audit.terminal_review import review

            lines = review(found, lines, options["write"], read)
        said = wanted.write_files(found, lines)
        if page is not None:
            page = write_page(found, page, read)
            said.insert(0, f"page written to {page}")
    if as_json:
        print_json({**audit_facts(found), "page": str(page), **wanted.files(), "written": said})
        return
    console = answer_console()
    if not wanted.review:
        show_audit(found, top, console)
    for text in said:
        # whole, and no `[...]` of a path is markup
        console.print(printable(text), soft_wrap=True, highlight=False, markup=False)


@dataclass(frozen=True)
class _Wanted:
    """What a person decided, and the files they asked for."""

    page: Path | None
    trust: tuple[str, ...]
    drop: tuple[str, ...]
    decisions: Path | None
    review: bool
    write: Path | None
    clean: Path | None
    export: Path | None
    force: bool

    def check(self) -> None:
        """Raise UsageError for what could be seen before anything is read."""
        decides = bool(self.trust or self.drop or self.decisions or self.review)
        if self.review and not sys.stdin.isatty():
            raise click.UsageError("--review reads keys from a terminal; without one, use --drop and --trust")
        files = {"--write": self.write, "--clean": self.clean}
        if decides and not any(files.values()):
            raise click.UsageError("decisions need --write FILE or --clean FOLDER, or nothing would come of them")
        for name, path in files.items():
            if path is not None and not decides:
                raise click.UsageError(f"{name} needs something to write: --trust, --drop or --decisions")
        if self.review and self.write is not None and self.write.suffix != ".jsonl":
            raise click.UsageError(f"--write {self.write}: the name must end in .jsonl for --review")
        if self.export is not None and self.export.suffix not in EXPORT_SUFFIXES:
            raise click.UsageError(f"--export {self.export}: the name must end in {' or '.join(EXPORT_SUFFIXES)}")
        self._check_targets()

    def _check_targets(self) -> None:
        refuse_same(self._targets())
        if self.page is not None:
            refuse_foreign_page("--page", self.page)
        for option, path, is_ours, kind in (
            ("--write", self.write, is_decisions, "file of decisions"),
            ("--export", self.export, is_findings, "file of findings"),
        ):
            if path is None or path == self._continued:  # whether decisions are there is seen when they are read
                continue
            refuse_foreign(option, path, is_ours, kind)
            if path.exists() and not self.force:
                raise click.UsageError(f"{path} is already there; give another name or --force")

    def _targets(self) -> list[tuple[str, Path]]:
        """The single files that are written, each with its option."""
        named = (("--write", self.write), ("--export", self.export), ("--page", self.page))
        return [(option, path) for option, path in named if path is not None]

    def check_clean(self, found: Audit) -> None:
        """Raise UsageError where another option names a file that `--clean` writes."""
        if self.clean is not None:
            copies = [*clean_files(found, self.clean), self.clean / REMOVED_FILE]
            refuse_same([*(("--clean", path) for path in copies), *self._targets()])

    @property
    def _continued(self) -> Path | None:
        """The file that a review goes on with."""
        return self.write if self.review and self.decisions in (None, self.write) else None

    def choose(self, found: Audit) -> list[dict[str, Any]]:
        """Every decision, as lines of a file; ValueError where one cannot be made out."""
        given = self.decisions
        if self._continued and self._continued.exists() and self._continued.read_bytes().strip():
            given = self._continued
        return choose(found, self.trust, self.drop, read_marks(found, given) if given else None)

    def files(self) -> dict[str, str]:
        """The files that were asked for, by what they hold."""
        named = {"decisions": self.write, "clean": self.clean, "export": self.export}
        return {name: str(path) for name, path in named.items() if path is not None}

    def write_files(self, found: Audit, lines: list[dict[str, Any]]) -> list[str]:
        """Write them, the one that may be refused first; what to say of each."""
        said = []
        if self.clean is not None:
            count = write_clean(found, lines, self.clean, self.force)
            said.append(f"data without {count:,} records written to {self.clean}; {REMOVED_FILE} there lists them")
        if self.write is not None and lines:
            write_decisions(self.write, lines)
            counts = " and ".join(f"{_count(found, lines, kind)} to {kind}" for kind in ("drop", "trust"))
            said.append(f"{counts} written to {self.write}; train again with `dece_decisions: {self.write}`")
        if self.export is not None:
            write_findings(found, self.export)
            said.append(f"findings about {len(found.rows):,} rows written to {self.export}")
        return said


def _count(found: Audit, lines: list[dict[str, Any]], decision: str) -> str:
    decided = {line["row"] for line in lines if line["decision"] == decision}
    return found.count(np.flatnonzero([row in decided for row in found.rows.ids]))
