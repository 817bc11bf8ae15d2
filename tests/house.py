"""How large the house is: `python -m tests.house` prints what docs/development.md says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("libcst", "sqlglot", "scipy", "plotly", "sacrebleu", "pandas", "jinja2")
FIRST_HALF_HOUR = (
    *("plugin.py", "keys.py", "schedule.py", "step.py"),
    *("loss/formula.py", "loss/criterion.py", "loss/objective.py"),
)
_RUN = """
import tempfile
from pathlib import Path
from tests.tiny import base_config, save_model, save_rows, train
with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    save_model(folder / "model")
    save_rows(folder / "rows.jsonl", count=4)
    train(folder, base_config(folder))
"""
_COUNT = f"""
import json, sys
files = {{name: module.__file__ for name, module in sys.modules.items()
         if name.startswith("axolotl_dece") and getattr(module, "__file__", None)}}
print(json.dumps({{"files": files, "heavy": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""


def loaded_by(*modules: str) -> dict[str, Any]:
    """Our files by module name, and the heavy libraries, that a fresh process holds after importing `modules`."""
    return _count_after("".join(f"import {name}\n" for name in modules))


@cache
def loaded_by_a_run() -> dict[str, Any]:
    """The same after a whole training on this machine with a config of two lines of ours, its card included."""
    return _count_after(_RUN)


def _count_after(code: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + _COUNT],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def lines_of(*files: str | Path) -> int:
    """Lines of text files, blank ones and all."""
    return sum(len(Path(file).read_text(encoding="utf-8").splitlines()) for file in files)


def wheel_files() -> list[Path]:
    """Python and page code in the wheel."""
    kinds = {".py", ".js", ".css", ".html"}
    return [path for path in (ROOT / "axolotl_dece").rglob("*") if path.suffix in kinds]


def sizes() -> dict[str, tuple[int, int]]:
    """Modules and lines of what docs/development.md counts, in its order."""
    core = loaded_by("axolotl_dece.plugin", "axolotl_dece.loss.fused_head")["files"].values()
    run = loaded_by_a_run()["files"].values()
    first = [ROOT / "axolotl_dece" / name for name in FIRST_HALF_HOUR]
    counted = {"the core": core, "a whole run": run, "the first half hour": first, "the wheel": wheel_files()}
    return {what: (len(files), lines_of(*files)) for what, files in counted.items()}


def main() -> None:
    """Print the counts."""
    for what, (modules, lines) in sizes().items():
        sys.stdout.write(f"{what}: {modules} modules, {lines} lines\n")


if __name__ == "__main__":
    main()
