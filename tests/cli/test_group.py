"""What holds for every command: it answers a mistake at once, and says what was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from axolotl_dece.cli import dece
from tests.house import ROOT

HEAVY = ("torch", "datasets", "transformers", "axolotl", "scipy", "pandas", "libcst", "sqlglot")
_TYPED = f"""
import sys
from axolotl_dece.cli import dece
try:
    dece(sys.argv[1:])
finally:
    sys.stderr.write("heavy: " + " ".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def typed(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As the script `axolotl-dece` starts it."""
    command = [sys.executable, "-W", "ignore", "-c", _TYPED, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, ""),
        (["audit", "--help"], 0, ""),
        (["audit", "."], 1, "there is no ledger at"),
        (["compare", "nowhere"], 1, "nowhere has no report.json"),
        (["card", "nowhere"], 2, "nowhere"),
        (["poison", "--help"], 0, ""),
        (["check", "nowhere.yaml"], 1, "nowhere.yaml cannot be read"),
        (["init", "--base-model", "org/name", "--data", "nowhere.jsonl"], 1, "nowhere.jsonl cannot be read"),
        (["bench", "--help"], 0, ""),
    ],
    ids=[
        *("help", "audit help", "no ledger", "no report", "no run", "poison help"),
        *("no config", "no rows", "bench help"),
    ],
)
def test_a_mistake_is_said_before_anything_heavy_is_imported(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = typed(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].strip() == "heavy:"


@pytest.mark.parametrize(("typo", "meant"), [("chek", "check"), ("evalute", "evaluate"), ("audits", "audit")])
def test_a_misspelt_command_is_told_which_was_meant(typo: str, meant: str) -> None:
    done = CliRunner().invoke(dece, [typo])
    assert done.exit_code == 2
    assert f"No such command '{typo}'. Did you mean '{meant}'?" in done.output


def test_the_config_of_one_training_is_no_grid(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("base_model: x\ndatasets: [{path: a.jsonl, type: alpaca}]\nloss: dece\n")
    done = CliRunner().invoke(dece, ["experiment", str(config)])
    assert done.exit_code == 1
    assert "is the config of one training, and no grid" in done.output
    assert "unknown" not in done.output


def test_an_answer_of_the_script_stands_alone_on_stdout(tmp_path: Path) -> None:
    assert typed("--help", cwd=tmp_path).stdout.startswith("Usage: ")
