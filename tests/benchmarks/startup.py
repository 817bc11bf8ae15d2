"""How long commands take before their own work: `python -m tests.benchmarks.startup --times 3`.

Prints the table of docs/development.md: processor seconds, the least of some tries, and the ratio to `axolotl --help`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from axolotl_dece.cli import _COMMANDS

_BIN = Path(sys.executable).parent
# what is typed for a file or a folder that is not there
_MISSING = {
    "init": "--base-model org/name --data none.jsonl --memory 0",
    "check": "none.yaml",
    "evaluate": "--base none --test none.jsonl --triggered none.jsonl --out out",
    "compare": "none",
    "experiment": "none.yaml",
    "audit": ".",
    "poison": "none.csv --attack ripple --out out",
    "card": "none",
}


def seconds(command: str, times: int) -> float:
    """Processor time of a command, user and system, the least of `times` tries."""
    program, *arguments = command.split()
    tries = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([_BIN / program, *arguments], cwd=folder, capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            tries.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(tries)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    base = seconds("axolotl --help", times)
    say = sys.stdout.write
    say("| command | `--help` | ratio | missing file | ratio |\n|---|---|---|---|---|\n")
    say(f"| `axolotl` | {base:.1f} s | 1.00 | - | - |\n")
    for name in _COMMANDS:
        helped = seconds(f"axolotl-dece {name} --help", times)
        cells = f"{helped:.1f} s | {helped / base:.2f}"
        if name in _MISSING:
            missed = seconds(f"axolotl-dece {name} {_MISSING[name]}", times)
            cells += f" | {missed:.1f} s | {missed / base:.2f}"
        else:
            cells += " | - | -"
        say(f"| `axolotl-dece {name}` | {cells} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
