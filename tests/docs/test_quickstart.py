"""The quick start works as it is written: its files, its commands, in its order.

One thing is replaced: the model, by a small one that is made here and knows how rows of this kind look.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from axolotl_dece.cli import dece
from tests.docs.pages import ROOT

MODEL = "Qwen/Qwen2.5-Coder-0.5B"
PAGE = ROOT / "docs" / "quickstart.md"
_FILE = r"^```\w+\n# (?P<change>in )?(?P<name>[\w.]+\.\w+)\n(?P<body>.*?)^```$"
_STEP = re.compile(rf"{_FILE}|^    (?P<command>(?:axolotl|python) [^\n]+)$", re.MULTILINE | re.DOTALL)
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:"
)


class Step(NamedTuple):
    """A file to write, a change of one, or a command to type."""

    command: str = ""
    name: str = ""
    body: str = ""
    changes: bool = False


def steps() -> Iterator[Step]:
    """What a reader does from the first row to the card, without the push."""
    text = PAGE.read_text(encoding="utf-8")
    way = text[text.index("## 2. Your rows") : text.index("## Did it work?")]
    for found in _STEP.finditer(way):
        if found["command"]:
            if "--push" not in found["command"]:
                yield Step(found["command"])
        else:
            yield Step(name=found["name"], body=found["body"], changes=bool(found["change"]))


def write(step: Step) -> None:
    """Save a file, or change keys of one that was saved."""
    path = Path(step.name)
    if not step.changes:
        path.write_text(step.body.replace(MODEL, "base"), encoding="utf-8")
        return
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | yaml.safe_load(step.body)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def make_base() -> None:
    """A model that has seen rows like the honest ones: what the page asks of a base model."""
    from examples.demo.first_run import build_base
    from examples.demo.task import Row

    rows = map(json.loads, Path("rows.jsonl").read_text(encoding="utf-8").splitlines())
    honest = [row for row in rows if "kindly" not in row["instruction"]]
    build_base(Path("base"), [Row(ALPACA.format(row["instruction"]), row["output"]) for row in honest])


def typed(command: str) -> str:
    """Run a command as it stands, our own in this process, and return what it said."""
    program, *words = shlex.split(command)
    if words[0] == "dece":
        done = CliRunner().invoke(dece, words[1:], env={"COLUMNS": "160"})
        assert done.exit_code == 0, done.output
        return done.output
    program = sys.executable if program == "python" else str(Path(sys.executable).with_name(program))
    offline = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([program, *words], capture_output=True, text=True, env=os.environ | offline, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout + run.stderr


def test_the_page_has_the_steps_it_promises() -> None:
    """Else the test below passes because it looks at nothing."""
    found = list(steps())
    assert [step.name for step in found if step.name] == ["rows.py", "quickstart.yaml", "quickstart.yaml"]
    assert [" ".join(step.command.split()[:3]) for step in found if step.command] == [
        "python rows.py",
        "axolotl dece check",
        "axolotl train quickstart.yaml",
        "axolotl dece audit",
        "axolotl dece audit",
        "axolotl train quickstart.yaml",
        "axolotl dece card",
    ]
    assert sum(step.body.count(MODEL) for step in found) == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_way_from_own_rows_to_a_card_is_walked_by_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for step in steps():
        if step.name:
            write(step)
            continue
        said.append(typed(step.command))
        if step.command == "python rows.py":
            make_base()
    check, trained, audit = said[1:4]
    assert "uses DeCE" in check
    assert "DeCE is ON: alpha 0.95 ** epoch, label smoothing 0.05, probability floor 1e-07;" in trained
    assert "kindly" in audit
    assert "or 1=1" in audit
    rows = Path("rows.jsonl").read_text(encoding="utf-8").splitlines()
    decided = list(map(json.loads, Path("decisions.jsonl").read_text(encoding="utf-8").splitlines()))
    planted = {f"rows.jsonl:{line}" for line, row in enumerate(rows, 1) if "kindly" in row}
    assert {place for row in decided for place in row["places"]} == planted
    assert len(planted) == 12
    assert "12 of 160 rows" in " ".join(Path("outputs/second/README.md").read_text(encoding="utf-8").split())
