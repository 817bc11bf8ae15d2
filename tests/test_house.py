"""The core stays small, alone, and below everything that stands on it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import FIRST_HALF_HOUR, ROOT, lines_of, loaded_by, loaded_by_a_run, sizes

FEATURES = ("audit", "cards", "evaluation", "poison", "experiment", "benchmark", "cli", "check")


def test_a_config_of_two_lines_loads_the_core_alone() -> None:
    theirs = loaded_by("axolotl.core.trainers.base", "axolotl.integrations.base")
    ours = loaded_by("axolotl_dece.plugin")
    assert {name.split(".")[1] for name in ours["files"] if "." in name}.isdisjoint(FEATURES)
    assert lines_of(*ours["files"].values()) <= 2415
    assert set(ours["heavy"]) <= set(theirs["heavy"])


def test_the_first_half_hour_of_a_reader_stays_short() -> None:
    assert lines_of(*(ROOT / "axolotl_dece" / name for name in FIRST_HALF_HOUR)) < 815


@pytest.mark.slow
def test_the_page_for_developers_counts_what_the_command_counts() -> None:
    page = (ROOT / "docs" / "development.md").read_text()
    said = [int(lines.replace(",", "")) for lines in re.findall(r"^\| .* \| \d+ \| ([\d,]+) \|$", page, re.MULTILINE)]
    assert said == pytest.approx([lines for _, lines in sizes().values()], rel=0.02)


@pytest.mark.slow
def test_a_whole_run_of_a_config_of_two_lines_loads_its_card_beside_the_core_and_nothing_else() -> None:
    files = loaded_by_a_run()["files"]
    assert lines_of(*files.values()) <= 3635
    rooms = [name.split(".")[1] for name in files if name.count(".") > 1]
    # the poison's, the audit's and the evaluation's own modules stay out; names of their files are read
    assert set(rooms) == {"loss", "data", "util", "cards"}


def test_names_of_losses_and_keys_are_read_without_torch() -> None:
    code = "import sys, axolotl_dece.keys, axolotl_dece.schedule; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_an_import_from_a_higher_room_fails_the_check(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "axolotl_dece", tmp_path / "axolotl_dece")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    def run() -> int:
        where = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(lint, cwd=tmp_path, env=where, capture_output=True, check=False).returncode

    assert run() == 0
    formula = tmp_path / "axolotl_dece" / "loss" / "formula.py"
    formula.write_text(formula.read_text() + "\nfrom axolotl_dece import keys  # noqa\n")
    assert run() == 1
