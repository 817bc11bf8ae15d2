"""Commands exit with what docs/commands.md says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from axolotl_dece.cli import _COMMANDS, dece
from tests.cli.test_bench import TINY
from tests.cli.test_output import compared
from tests.evaluation.conftest import adapter, base, files  # noqa: F401 - fixtures
from tests.experiment.grids import save_grid
from tests.house import ROOT
from tests.tiny import base_config, save_config, save_rows

_ROW = re.compile(r"^\| `(?P<name>[a-z]+)` \| (?P<done>.+?) \| (?P<problem>.+?) \|$", re.MULTILINE)
Typed = Callable[[pytest.FixtureRequest, Path], list[object]]


def documented() -> set[tuple[str, int]]:
    """Every command with every status that the page says it exits with."""
    found = list(_ROW.finditer((ROOT / "docs" / "commands.md").read_text(encoding="utf-8")))
    statuses = {(row["name"], code) for row in found for code in (0, 1, 2)}
    return statuses - {(row["name"], 1) for row in found if row["problem"] == "-"}


def _check(request: pytest.FixtureRequest, folder: Path) -> list[object]:
    workspace = request.getfixturevalue("workspace")
    return ["check", save_config(workspace, base_config(workspace))]


def _evaluate(request: pytest.FixtureRequest, folder: Path) -> list[object]:
    named = {name: request.getfixturevalue(name) for name in ("base", "adapter")} | request.getfixturevalue("files")
    options = [word for name, path in named.items() for word in (f"--{name}", path)]
    return ["evaluate", *options, "--out", folder / "report", "--max-new-tokens", "2", "--limit", "1"]


def _poison(request: pytest.FixtureRequest, folder: Path) -> list[object]:
    return ["poison", save_rows(folder / "rows.jsonl"), "--trigger", "rare_token", "--out", folder / "poisoned"]


def _card(request: pytest.FixtureRequest, folder: Path) -> list[object]:
    assert CliRunner().invoke(dece, [*map(str, _poison(request, folder))]).exit_code == 0
    return ["card", folder / "poisoned"]


def _init(request: pytest.FixtureRequest, folder: Path) -> list[object]:
    model = request.getfixturevalue("workspace") / "model"
    return ["init", "--base-model", model, "--data", folder / "rows.jsonl", "--out", folder / "dece.yaml"]


CASES: dict[tuple[str, int], Typed] = {
    ("init", 0): _init,
    ("init", 1): lambda request, folder: [*_init(request, folder), "--data", folder / "none.jsonl"],
    ("check", 0): _check,
    ("check", 1): lambda _, folder: ["check", folder / "none.yaml"],
    ("bench", 0): lambda *_: [*TINY],
    ("evaluate", 0): _evaluate,
    ("evaluate", 1): lambda request, folder: [*_evaluate(request, folder), "--attack", "unheard-of"],
    ("compare", 0): lambda _, folder: [*compared(folder)],
    ("compare", 1): lambda _, folder: ["compare", folder / "none"],
    ("experiment", 0): lambda _, folder: ["experiment", save_grid(folder / "grid.yaml"), "--plan"],
    ("experiment", 1): lambda _, folder: ["experiment", folder / "none.yaml"],
    ("audit", 0): lambda request, _: ["audit", request.getfixturevalue("audited")],
    ("audit", 1): lambda _, folder: ["audit", folder],
    ("poison", 0): _poison,
    ("poison", 1): lambda _, folder: ["poison", folder / "none.csv", "--attack", "ripple", "--out", folder / "p"],
    ("card", 0): _card,
    ("card", 1): lambda _, folder: ["card", folder],
    **{(name, 2): (lambda *_, name=name: [name, "--no-such-option"]) for name in _COMMANDS},
}


def test_every_command_has_its_statuses_in_the_docs() -> None:
    assert {name for name, _ in documented()} == set(_COMMANDS)
    assert documented() == set(CASES)


@pytest.mark.parametrize(("command", "code"), sorted(CASES), ids=lambda part: str(part))
def test_a_command_exits_as_the_docs_say(
    request: pytest.FixtureRequest, tmp_path: Path, command: str, code: int
) -> None:
    done = CliRunner().invoke(dece, [*map(str, CASES[command, code](request, tmp_path))])
    assert isinstance(done.exception, SystemExit | None), done.output
    assert done.exit_code == code, done.output
    if code:
        assert done.stdout == ""
        assert done.stderr


def test_a_misspelt_option_is_told_which_was_meant() -> None:
    done = CliRunner().invoke(dece, ["poison", "rows.csv", "--atack", "ripple"])
    assert done.exit_code == 2
    assert re.search(r"No such option.*--atack.*Did you mean.*--attack", done.stderr)
