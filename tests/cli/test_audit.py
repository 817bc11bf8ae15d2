"""`axolotl dece audit`: a table, a page, a file of decisions; or one clear error and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_file import LEDGER_FILE, write_ledger
from axolotl_dece.audit.record.row_table import read_rows, tabulate
from axolotl_dece.cli import dece
from tests.audit.rows import dataset, planted
from tests.tiny import save_tokenizer


def run(*args: object) -> Result:
    return CliRunner().invoke(dece, ["audit", *map(str, args)], env={"COLUMNS": "120"})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output folder of a run whose ledger holds a planted backdoor."""
    folder = tmp_path / "out"
    tokenizer = save_tokenizer(folder)
    rows, refused = [], []
    for prompt, target, held in planted().told:
        ids = tokenizer.convert_tokens_to_ids(prompt + target)
        rows.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
        refused.append([255 if at in held else 0 for at in range(len(target))])
    data = dataset(rows)
    table = tabulate(data)
    ledger = Ledger.empty(table.keys, table.targets)
    shares = [refused[at] for at in table.index]
    for epoch in range(3):
        ledger.fold(np.repeat(table.keys, table.targets), np.concatenate(shares).astype(np.uint8), epoch)
    write_ledger(folder / LEDGER_FILE, ledger, table, read_rows(data), {"config_digest": "x"})
    return folder


def test_the_table_names_trigger_and_payload_and_the_page_is_written(out: Path) -> None:
    result = run(out)
    assert result.exit_code == 0, result.output
    assert "20 of 420 rows were persistently held back" in result.output
    (line,) = [line for line in result.output.splitlines() if "w100" in line]
    assert "w101 w102" in line
    assert "100%" in line
    assert (out / "_dece_audit.html").is_file()


def test_decisions_are_written_as_a_run_reads_them(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    result = run(out, "--drop", "cluster:1", "--page", tmp_path / "page.html", "--write", file)
    assert result.exit_code == 0, result.output
    assert "20 rows to drop and 0 to trust" in result.output
    assert len(read_decisions(file).drop) == 20
    assert json.loads(file.read_text().splitlines()[0])["span"] == "w101 w102"
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--drop", "cluster:1"], "need --write FILE"),
        (["--write", "d.jsonl"], "--write needs something to write"),
        (["--drop", "cluster:9", "--write", "d.jsonl"], "no such cluster"),
        (["--trust", "row:0", "--write", "d.jsonl"], "no such row"),
        (["--tokenizer", "nowhere", "--write", "d.jsonl", "--drop", "cluster:1"], "--tokenizer"),
        (["--least-rows", "1"], "least-rows"),
    ],
)
def test_a_wrong_option_is_one_error_and_nothing_is_written(
    out: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(out)
    before = sorted(one.name for one in out.iterdir())
    result = run(out, *options)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output
    assert sorted(one.name for one in out.iterdir()) == before


def test_decisions_that_are_there_are_not_lost(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text("mine")
    result = run(out, "--drop", "cluster:1", "--write", file)
    assert result.exit_code != 0
    assert "already there" in result.output
    assert file.read_text() == "mine"
    assert run(out, "--drop", "cluster:1", "--write", file, "--overwrite").exit_code == 0
    assert len(read_decisions(file).drop) == 20


def test_a_folder_without_a_ledger_is_told_how_to_get_one(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code != 0
    assert "train with `dece_audit: true`" in result.output
