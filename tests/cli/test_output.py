"""The answer stands alone on stdout, as text or as JSON; what libraries say is on stderr, and only if asked for."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from datasets.utils.logging import enable_progress_bar, is_progress_bar_enabled

from axolotl_dece.cli import dece
from axolotl_dece.cli.output import Reporting, answer_console, print_json
from tests.evaluation.reports import fallen, save_report
from tests.tiny import base_config, save_config

SCRIPT = Path(sys.executable).with_name("axolotl-dece")


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """`axolotl-dece card`, with a library of the loudest kind in its place."""

    @click.command(cls=Reporting)
    def command() -> None:
        print("printed")  # noqa: T201
        warnings.warn("warned", stacklevel=1)
        logging.getLogger("library").warning("logged")
        logging.getLogger("library").error("an error")
        answer_console().print("the answer")

    monkeypatch.setattr(type(dece), "get_command", lambda *_: command)
    return command


def run_noisy(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """With a handler on stdout, as axolotl sets one up before it hands over."""
    handler = logging.StreamHandler()
    library = logging.getLogger("library")
    monkeypatch.setattr(library, "handlers", [handler])
    monkeypatch.setattr(library, "propagate", False)
    runner = CliRunner()
    with runner.isolation() as streams:
        handler.setStream(sys.stdout)
        code = dece([*arguments, "card"], standalone_mode=False)
        assert handler.stream is sys.stdout
        return Result(runner, *(stream.getvalue() for stream in streams), code, 0, None)


@pytest.mark.usefixtures("noisy")
def test_stdout_holds_the_answer_alone_and_no_error_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings(record=True) as warned:
        done = run_noisy(monkeypatch)
    assert not warned
    assert done.stdout == "the answer\n"
    assert done.stderr.splitlines() == ["printed", "an error"]


@pytest.mark.usefixtures("noisy")
def test_verbose_shows_on_stderr_what_libraries_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="warned"):
        done = run_noisy(monkeypatch, "--verbose")
    assert done.stdout == "the answer\n"
    assert done.stderr.splitlines() == ["printed", "logged", "an error"]


@pytest.mark.usefixtures("noisy")
def test_datasets_draws_its_bars_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, drawn in ((["--verbose"], True), ([], False)):
        enable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_noisy(monkeypatch, *options)
        assert is_progress_bar_enabled() is drawn
    enable_progress_bar()


def test_every_command_keeps_stdout_for_its_answer() -> None:
    context = click.Context(dece)
    for name in dece.list_commands(context):
        assert isinstance(dece.get_command(context, name), Reporting), name


def compared(folder: Path) -> list[str]:
    runs = [save_report(folder / name, fallen(hits), loss=name) for name, hits in (("ce", 20), ("dece", 0))]
    return ["compare", *map(str, runs), "--out", str(folder / "page.html")]


@pytest.mark.parametrize(
    ("command", "begins"),
    [
        ("check", "A run of config.yaml uses DeCE."),
        ("compare", "The backdoor works in 0 of 20 answers with DeCE, in 20 of 20 without;"),
        ("audit", "1 group looks planted, 20 rows; no rare row stands out."),
    ],
)
def test_the_answer_comes_first_and_nothing_beside_it(
    request: pytest.FixtureRequest, tmp_path: Path, command: str, begins: str
) -> None:
    if command == "check":
        workspace = request.getfixturevalue("workspace")
        save_config(workspace, base_config(workspace))
        typed = ["check", "config.yaml"]
    else:
        typed = compared(tmp_path) if command == "compare" else ["audit", str(request.getfixturevalue("audited"))]
    done = subprocess.run([SCRIPT, *typed], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert " ".join(done.stdout.split()).startswith(begins)


def asked(*arguments: object) -> tuple[dict[str, Any], Result]:
    """The one JSON object that a command prints."""
    done = CliRunner().invoke(dece, [*map(str, arguments), "--json"])
    return json.loads(done.stdout), done


def text_of(*arguments: object) -> str:
    return " ".join(CliRunner().invoke(dece, [*map(str, arguments)], env={"COLUMNS": "300"}).stdout.split())


def test_check_answers_in_json_what_it_says(workspace: Path) -> None:
    config = save_config(workspace, base_config(workspace, bf16=True))
    found, done = asked("check", config)
    assert done.exit_code == 0
    assert (found["uses_dece"], found["runs_here"]) == (True, False)
    said = text_of("check", config)
    for text in (found["verdict"], *found["on_this_machine"], *found["warnings"], *found["ok"]):
        assert text in said
    found, done = asked("check", save_config(workspace, base_config(workspace, loss="ce")))
    assert done.exit_code == 1
    assert not found["uses_dece"]
    assert "trains plain cross-entropy, on purpose" in found["errors"][0]


def test_compare_answers_in_json_what_it_says(tmp_path: Path) -> None:
    typed = compared(tmp_path)
    found, done = asked(*typed)
    assert done.exit_code == 0
    said = text_of(*typed)
    assert said.startswith(" ".join(found["headline"]))
    assert [run["name"] for run in found["runs"]] == ["ce", "dece"]
    assert [(run["asr"]["hits"], run["asr"]["total"]) for run in found["runs"]] == [(20, 20), (0, 20)]
    assert found["runs"][1]["differences"]["asr"]["value"] == -1
    rate = found["runs"][1]["asr"]
    assert f"{rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] (0/20)" in said
    assert Path(found["page"]).is_file()


def test_compare_replaces_its_own_page_and_nothing_else(tmp_path: Path) -> None:
    *typed, page = compared(tmp_path)
    mine = tmp_path / "mine.txt"
    mine.write_text("my thesis")
    for path in (mine, tmp_path / "ce" / "report.json", tmp_path / "ce" / "clean.jsonl"):
        before = path.read_bytes()
        done = CliRunner().invoke(dece, [*typed, str(path)])
        assert done.exit_code == 2
        assert f"{path.name} is already there and is no page of ours" in " ".join(done.stderr.split())
        assert path.read_bytes() == before
    for _ in range(2):
        assert CliRunner().invoke(dece, [*typed, page]).exit_code == 0


def test_compare_shows_names_and_never_obeys_them(tmp_path: Path) -> None:
    evil = "\x1b[31mevil [/b]"
    runs = [save_report(tmp_path / name, fallen(3), loss=evil, digests={"clean": name}) for name in (evil[:8], "b")]
    done = CliRunner().invoke(dece, ["compare", *map(str, runs), "--out", str(tmp_path / "\x1b[31m.html")], color=True)
    assert done.exit_code == 0, done.output
    assert r"\x1b[31mevi" in done.stdout
    assert r"\x1b[31m.html" in done.stdout.replace("\n", "")
    assert "\x1b[31m" not in done.output


def test_audit_answers_in_json_what_it_says(audited: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.jsonl"
    found, done = asked("audit", audited, "--drop", "cluster:1", "--write", decisions)
    assert done.exit_code == 0
    (group,) = found["groups"]
    assert (group["payload"], group["cue"], group["rows"]) == ("w101 w102", "w100", 20)
    said = text_of("audit", audited)
    assert said.startswith(found["headline"])
    assert f"{group['inside']:.0%} │ {group['reach']:.0%}" in said
    assert found["rare_rows"] == 0
    assert found["decisions"] == str(decisions)
    assert Path(found["page"]).is_file()
    assert any(str(decisions) in line for line in found["written"])


def test_a_number_that_is_none_is_null_in_json() -> None:
    @click.command(cls=Reporting)
    def command() -> None:
        print_json({"a": [float("nan"), 1.0], "b": {"c": float("-inf")}})

    assert json.loads(CliRunner().invoke(command).stdout) == {"a": [None, 1.0], "b": {"c": None}}
