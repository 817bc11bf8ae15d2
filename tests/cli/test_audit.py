"""`axolotl dece audit`: a table, a page, a file of decisions; or one clear error and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.cli import dece
from axolotl_dece.run_file import RUN_FILE
from axolotl_dece.util.terminal import printable


def run(*args: object, keys: str = "") -> Result:
    return CliRunner().invoke(dece, ["audit", *map(str, args)], input=keys, env={"COLUMNS": "120"})


@pytest.fixture
def out(audited: Path) -> Path:
    return audited


def test_the_table_names_trigger_and_payload_and_the_page_is_written(out: Path) -> None:
    result = run(out)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 group looks planted, 20 rows; no rare row stands out.")
    (line,) = [line for line in result.output.splitlines() if "w100" in line]
    assert "w101 w102" in line
    assert "100%" in line
    assert (out / "_dece_audit.html").is_file()


def test_decisions_are_written_as_a_run_reads_them(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    result = run(out, "--drop", "cluster:1", "--page", tmp_path / "page.html", "--write", file)
    assert result.exit_code == 0, result.output
    assert "20 rows to drop and 0 rows to trust" in result.output
    assert len(read_decisions(file).drop) == 20
    assert json.loads(file.read_text().splitlines()[0])["span"] == "w101 w102"
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--drop", "cluster:1"], "need --write FILE or --clean FOLDER"),
        (["--write", "d.jsonl"], "--write needs something to write"),
        (["--drop", "cluster:9", "--write", "d.jsonl"], "no such cluster"),
        (["--trust", "row:0", "--write", "d.jsonl"], "--trust row:0: the ledger has no such row"),
        (["--drop", "search:no such words", "--write", "d.jsonl"], "--drop search:no such words: no row"),
        (["--drop", "train.jsonl:3", "--write", "d.jsonl"], "--drop train.jsonl:3: no file of this run"),
        (["--clean", "folder"], "--clean needs something to write"),
        (["--clean", "folder", "--drop", "cluster:1", "--export", "f.jsonl"], "--clean folder: nothing was written"),
        (["--export", "findings.csv"], "must end in .parquet or .jsonl"),
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
    assert run(out, "--trust", "search:w101", "--write", file).exit_code == 0
    before = file.read_bytes()
    result = run(out, "--drop", "cluster:1", "--write", file)
    assert result.exit_code != 0
    assert "already there" in result.output
    assert file.read_bytes() == before
    assert run(out, "--drop", "cluster:1", "--write", file, "--force").exit_code == 0
    assert len(read_decisions(file).drop) == 20


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--page"], "mine.txt"),
        (["--page"], "out/_dece_ledger.parquet"),
        ([], "out/_dece_audit.html"),
        (["--export"], "out/_dece_ledger.parquet"),
        (["--export"], "mine.jsonl"),
        (["--drop", "cluster:1", "--write"], "out/tokenizer.json"),
        (["--drop", "cluster:1", "--write"], "mine.jsonl"),
    ],
)
def test_no_file_takes_the_place_of_what_is_not_its_kind(
    out: Path, tmp_path: Path, options: list[str], name: str
) -> None:
    file = tmp_path / name
    if not file.exists():
        file.write_text("mine\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run(out, "--force", *options, *([file] if options else []))
    assert result.exit_code == 2, result.output
    assert f"{file.name} is already there and is no" in " ".join(result.output.split())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["f.jsonl", "f.parquet"])
def test_what_the_command_wrote_it_writes_again(out: Path, name: str) -> None:
    options = ["--drop", "cluster:1", "--write", out / "d.jsonl", "--export", out / name]
    assert run(out, *options).exit_code == 0
    (out / "_dece_audit.html").write_text((out / "_dece_audit.html").read_text().replace("held back", ""))
    result = run(out, *options, "--force")
    assert result.exit_code == 0, result.output
    assert "held back" in (out / "_dece_audit.html").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--write", "s.jsonl", "--export", "s.jsonl"], "--write and --export both write s.jsonl"),
        (["--write", "./s.jsonl", "--page", "s.jsonl"], "--write and --page both write s.jsonl"),
        (["--write", "c/removed.jsonl", "--clean", "c"], "--clean and --write both write c/removed.jsonl"),
    ],
)
def test_no_two_options_write_one_file(
    out: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(out)
    before = sorted(out.iterdir())
    result = run(out, "--drop", "cluster:1", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert sorted(out.iterdir()) == before


def test_escape_sequences_typed_or_of_files_do_not_reach_the_terminal_in_an_error(out: Path, tmp_path: Path) -> None:
    typed = ["audit", str(out), "--drop", "search:\x1b[31mfoo", "--write", str(tmp_path / "d.jsonl")]
    for options in (typed, [*typed, "--\x1b[31m"], [*typed, "\x1b[31m"]):
        result = CliRunner().invoke(dece, options, color=True)
        assert result.exit_code in (1, 2)
        assert r"\x1b[31m" in result.stderr
        assert "\x1b[31m" not in result.stderr


def test_findings_are_exported_and_never_written_over(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "findings.jsonl"
    result = run(out, "--export", file)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert sum(row["is_planted_issue"] for row in rows) == 20
    assert {(row["payload"], row["trigger"]) for row in rows if row["is_poisoned"]} == {("w101 w102", "w100")}
    before = file.read_bytes()
    assert run(out, "--export", file).exit_code == 2
    assert file.read_bytes() == before


def test_decisions_of_a_file_are_taken_over_where_no_option_says_otherwise(out: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert run(out, "--trust", "search:w101", "--write", first).exit_code == 0
    one = json.loads(first.read_text().splitlines()[0])["row"]
    result = run(out, "--decisions", first, "--drop", one, "--write", second)
    assert result.exit_code == 0, result.output
    assert "1 row to drop and 19 rows to trust" in result.output
    assert [json.loads(line)["decision"] for line in second.read_text().splitlines()] == ["drop", *["trust"] * 19]


@pytest.mark.parametrize("option", ["--write", "--page", "--export"])
def test_a_file_that_cannot_be_written_is_an_error_in_one_line(out: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("in the way")
    decided = ("--drop", "cluster:1") if option == "--write" else ()
    result = run(out, option, tmp_path / "file" / "a.jsonl", *decided)
    assert isinstance(result.exception, SystemExit)
    assert "cannot be written" in " ".join(result.output.split())


def test_a_folder_without_a_ledger_is_told_how_to_get_one(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code != 0
    assert "train with `dece_audit: true`" in result.output


def a_run(out: Path, **changes: object) -> None:
    """What a run of the ledger's config wrote beside it."""
    run = {"format": 1, "status": "finished", "config_digest": "x", "run_id": "first", "step": 12} | changes
    (out / RUN_FILE).write_text(json.dumps(run))


def test_the_ledger_of_the_run_beside_it_is_read(out: Path) -> None:
    a_run(out)
    assert run(out).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config_digest": "y"}, "was made by another run"),
        ({"run_id": "second"}, "was made by another run"),
        ({"status": "running", "step": 0}, "stopped at step 0 before it had a ledger"),
        ({"status": "running"}, "stopped at step 12 before it had a ledger"),
        ({"step": 20}, "is older than the run in this folder"),
    ],
)
def test_an_older_ledger_is_not_taken_for_that_of_a_newer_run(out: Path, changes: dict[str, object], said: str) -> None:
    a_run(out, **changes)
    result = run(out)
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())
    assert not (out / "_dece_audit.html").exists()


def test_what_rows_say_is_shown_and_never_obeyed() -> None:
    assert printable("a\x1b[31mb\rc\x9b2J\u202ed") == r"a\x1b[31mb\rc\x9b2J\u202ed"
    assert printable("né 你好 😀 [bold]") == "né 你好 😀 [bold]"


def test_brackets_in_names_are_not_markup(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[bold] [" / "red] [on]"
    folder.parent.mkdir()
    out.rename(folder)
    file = folder / "[d].jsonl"
    result = run(folder, "--drop", "cluster:1", "--write", file)
    assert result.exit_code == 0, result.output
    assert f"page written to {folder}/_dece_audit.html" in result.output
    assert f"written to {file}; train again with `dece_decisions: {file}`" in result.output
    assert "What red] [on] held back" in result.output


def test_escape_sequences_of_rows_do_not_reach_the_terminal(out: Path) -> None:
    file = out / "tokenizer.json"
    vocabulary = json.loads(file.read_text())
    words = vocabulary["model"]["vocab"]
    words["\x1b[31mw101"] = words.pop("w101")
    file.write_text(json.dumps(vocabulary))
    result = run(out)
    assert result.exit_code == 0, result.output
    assert "[31mw101" in result.output.replace("\n", "")
    assert "\x1b[31m" not in result.output
