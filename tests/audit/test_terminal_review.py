"""A review in the terminal, by keys: the rules of the page, and every decision on the disk before the next key."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.audit.exchange import read_marks
from axolotl_dece.audit.row_id import key_to_id
from axolotl_dece.audit.row_text import PAYLOAD, REFUSED, TRIGGER, row_text
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.audit.terminal_review import review
from tests.audit.rows import HEADERS, POISONED, planted, with_headers
from tests.audit.test_page import audit_of, with_a_cluster_inside_another
from tests.cli.conftest import audited  # noqa: F401 - a fixture
from tests.cli.test_audit import out, run  # noqa: F401 - a fixture
from tests.tiny import save_tokenizer

LAST, THIRD = f"{428:016x}", f"{3:016x}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def audit(tokenizer: PreTrainedTokenizerFast) -> Audit:
    found = audit_of(with_headers(), tokenizer)
    found.rows.copies[:4] = 2
    return found


class Person:
    """Presses keys; `/WORDS ` searches. Sees what is in the file whenever a key is read."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = file
        self.seen: list[dict[str, set[str]]] = []
        self._patch, self._captured = monkeypatch, capsys

    def works(self, audit: Audit, keys: str, words: str = "") -> str:
        pressed: Iterator[str] = iter(keys)

        def next_key() -> str:
            self.seen.append(decided(self.file))
            return next(pressed, "q")

        self._patch.setattr(click, "getchar", next_key)
        self._patch.setattr(click, "prompt", lambda *_, **__: words)
        given = choose(audit, [], [], read_marks(audit, self.file)) if self.file.exists() else []
        self._captured.readouterr()
        review(audit, given, self.file)
        return self._captured.readouterr().out


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(tmp_path / "decisions.jsonl", monkeypatch, capsys)


def decided(file: Path) -> dict[str, set[str]]:
    """Rows by decision as a run reads them."""
    if not file.exists():
        return {"drop": set(), "trust": set()}
    found = read_decisions(file)
    return {"drop": set(map(key_to_id, found.drop)), "trust": set(map(key_to_id, found.trust))}


def test_a_whole_review_by_keys_ends_as_on_the_page(audit: Audit, person: Person) -> None:
    """As in tests/browser/test_review.py: the group is dropped but for one row, the headers are trusted together."""
    shown = person.works(audit, "dTtud")
    assert shown.startswith("1 group looks planted, 20 rows, 24 copies; 9 rare rows to look at.")
    assert "20 of 29 decided; 20 rows, 24 copies to drop; 0 rows to trust" in shown
    assert "28 of 29 decided; 20 rows, 24 copies to drop; 8 rows to trust" in shown
    assert "Nothing is undecided. 29 of 29 decided; 21 rows, 25 copies to drop; 8 rows to trust" in shown
    person.works(audit, "/t", words=THIRD)
    assert decided(person.file) == {"drop": POISONED - {THIRD} | {LAST}, "trust": HEADERS | {THIRD}}


def test_every_decision_is_in_the_file_before_the_next_key(audit: Audit, person: Person) -> None:
    person.works(audit, "dTu")
    nothing, group, both, undone = person.seen
    assert nothing == {"drop": set(), "trust": set()}
    assert group == undone == {"drop": POISONED, "trust": set()}
    assert both == {"drop": POISONED, "trust": HEADERS}


def test_a_review_goes_on_where_it_was_left_and_knows_what_was_decided_together(audit: Audit, person: Person) -> None:
    person.works(audit, "gtgt")
    assert decided(person.file)["trust"] == POISONED
    shown = person.works(audit, "pd")
    assert "20 of 29 decided" in shown
    assert "19 rows now to drop; 1 row kept another decision" in shown


def test_undo_goes_back_to_what_was_decided(audit: Audit, person: Person) -> None:
    person.works(audit, "dut")
    assert decided(person.file) == {"drop": set(), "trust": POISONED}


def test_a_file_that_decides_nothing_is_not_left_behind(audit: Audit, person: Person) -> None:
    person.works(audit, "")
    assert not person.file.exists()
    person.works(audit, "du")
    assert person.seen[-2]["drop"] == POISONED
    assert not person.file.exists()


def test_a_search_is_decided_about_at_once_or_row_by_row(audit: Audit, person: Person) -> None:
    assert "Found by 'w120 w121': 8 rows, undecided" in person.works(audit, "/t", words="w120 w121")
    assert decided(person.file) == {"drop": set(), "trust": HEADERS}
    person.works(audit, "/gddq", words="w120 w121")
    assert len(decided(person.file)["drop"]) == 2
    before = person.file.read_bytes()
    assert "no row of the training set has these words" in person.works(audit, "/", words="nowhere at all")
    assert person.file.read_bytes() == before


def test_a_group_to_trust_takes_no_row_from_one_to_drop(tokenizer: PreTrainedTokenizerFast, person: Person) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    shown = person.works(audit, "ntpdnt")
    assert "0 rows now to trust; 7 rows kept another decision" in shown
    assert decided(person.file) == {"drop": POISONED, "trust": set()}


def test_moving_decides_nothing_and_an_unknown_key_is_said(audit: Audit, person: Person) -> None:
    shown = person.works(audit, "nnpsrrgx?up")
    assert "No such key" in shown
    assert "drop, trust, clear the decision" in shown
    assert "Nothing to undo" in shown
    assert not person.file.exists()


def test_an_audit_that_found_nothing_can_be_reviewed(tokenizer: PreTrainedTokenizerFast, person: Person) -> None:
    audit = audit_of(planted(poisoned=0), tokenizer)
    shown = person.works(audit, "dsnpgDrt")
    assert "There is nothing to decide" in shown
    assert sum(map(len, decided(person.file).values())) == 1, "a row that was drawn to be read"


def test_the_whole_payload_and_the_trigger_are_shown_and_nothing_is_obeyed(audit: Audit, person: Person) -> None:
    payload = "or 1=1\x1b[31m [bold]" + "x" * 300
    hostile = replace(audit, clusters=[replace(audit.clusters[0], payload=payload)])
    shown = person.works(hostile, "")
    assert f"payload    or 1=1\\x1b[31m [bold]{'x' * 300}" in shown.replace("\n", "")
    assert "\x1b" not in shown
    assert "goes with  w100  in 100% of its rows" in shown


def test_trigger_payload_and_refused_words_are_marked_and_the_template_folded(audit: Audit) -> None:
    row = {
        "runs": [[0, 0, 0, "### Do:\n\n### Now:\nw99 w100 w1000\t."], [1, 80, 3, "say w101"], [1, 0, 0, " w102"]],
        "cut": False,
        "persistent": 2,
    }
    text = row_text(row, audit.clusters, {"### Do:", "### Now:"})
    assert text.plain == "⋯\nw99 w100 w1000    .\n->\nsay w101 w102"

    def marked(style: str) -> list[str]:
        return [text.plain[span.start : span.end] for span in text.spans if span.style == style]

    assert (marked(TRIGGER), marked(REFUSED)) == (["w100"], ["say w101"])
    assert "w101 w102" in marked(PAYLOAD)


def test_without_a_terminal_nothing_is_begun(out: Path) -> None:  # noqa: F811
    result = run(out, "--review")
    assert result.exit_code == 2
    assert "--review reads keys from a terminal" in result.output
    assert sorted(one.name for one in out.glob("_dece*")) == ["_dece_ledger.parquet"]


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_dece.cli.audit.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (None, ["--write", "d.parquet"], "the name must end in .jsonl"),
        ("mine\n", ["--write", "d.jsonl"], "line 1 is not JSON"),
        ("mine\n", ["--write", "d.jsonl", "--decisions", "other.jsonl"], "d.jsonl is already there"),
        (f'{{"row": "{"f" * 16}", "decision": "drop"}}\n', ["--write", "d.jsonl"], "the ledger has no row"),
    ],
)
def test_what_a_review_cannot_go_on_with_is_left_as_it_is(
    out: Path,  # noqa: F811
    at_a_terminal: None,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(out)
    (out / "other.jsonl").touch()
    if content is not None:
        (out / "d.jsonl").write_text(content)
    result = run(out, "--review", *options, keys="dq")
    assert result.exit_code != 0
    assert said in result.output
    assert content is None or (out / "d.jsonl").read_text() == content


def test_an_empty_file_is_filled_and_other_options_are_carried_out(
    out: Path,  # noqa: F811
    at_a_terminal: None,
    tmp_path: Path,
) -> None:
    file = tmp_path / "d.jsonl"
    file.touch()
    result = run(out, "--review", "--write", file, "--export", tmp_path / "findings.jsonl", keys="dq")
    assert result.exit_code == 0, result.output
    assert len(read_decisions(file).drop) == 20
    assert (tmp_path / "findings.jsonl").is_file()
    assert run(out, "--review", "--write", file, "--trust", "search:w101", keys="q").exit_code == 0
    assert len(read_decisions(file).trust) == 20, "what an option says goes before what the file says"


class Screen:
    """`axolotl dece audit OUT ...` on a terminal of its own."""

    def __init__(self, *options: object) -> None:
        self._us, them = pty.openpty()
        command = [sys.executable, "-c", "from axolotl_dece.cli import dece; dece()", "audit", *map(str, options)]
        where = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
        self.process = subprocess.Popen(
            command, stdin=them, stdout=them, stderr=them, env=where, start_new_session=True
        )
        os.close(them)
        self._shown = ""

    def press(self, key: str, then: str) -> None:
        """Press a key until what follows is seen: what is typed before a key is asked for is thrown away."""
        end = time.monotonic() + 250
        while then not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown):
            assert time.monotonic() < end, f"no {then!r} in {self._shown}"
            if select.select([self._us], [], [], 0.5)[0]:
                try:
                    self._shown += os.read(self._us, 65536).decode(errors="replace")
                except OSError as error:
                    raise AssertionError(f"it ended without {then!r}: {self._shown}") from error
            elif key and self.process.poll() is None:
                os.write(self._us, key.encode())

    def leave(self) -> int:
        code = self.process.wait(60)
        os.close(self._us)
        return code


@pytest.mark.slow
def test_a_killed_terminal_loses_nothing(out: Path) -> None:  # noqa: F811
    first = Screen(out, "--review")
    first.press("", then="0 of 20 decided")
    first.press("d", then="20 of 20 decided")
    first.process.send_signal(signal.SIGKILL)
    first.leave()
    file = out / "_dece_review.jsonl"
    assert len(read_decisions(file).drop) == 20
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(line["cluster"], line["cue"]) for line in lines} == {(1, "w100")}

    second = Screen(out, "--review")
    second.press("", then="20 of 20 decided")
    second.press("q", then=f"20 rows to drop and 0 rows to trust written to {file}")
    assert second.leave() == 0
    assert len(read_decisions(file).drop) == 20
    assert not (out / "_dece_audit.html").exists()
