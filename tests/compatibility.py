"""Writes docs/compatibility.md from the tests that pytest finds: `python -m tests.compatibility`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece import differences
from tests.distributed.cells import CELLS, ENGINES, REFUSED, Cell
from tests.distributed.test_refused import REFUSED as REFUSED_KEYS
from tests.ran import OUTCOMES, read_rows

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
FOLDERS = ("tests/distributed", "tests/restart")
MATRIX = "test_two_ranks_train_what_one_process_trains"
TWINS = "test_a_mean_of_each_rank_does_not_pass_as_the_mean_of_all"
COLUMNS = [(head, n, batch) for head in ("logits", "fused") for n in (1, 2) for batch in ("padded", "packed")]

HEAD = """# What works with what

Generated from the tests by `python -m tests.compatibility`; a test fails when this page is older than they are.
*tested*: a test of that name passes in `make test`. *refused*: it ends in the error shown. *untested*: nobody looked.
"""

RELEASES = ("0.19.0", "0.20.0", "0.21.0")

RAN = """## What ran on which axolotl

Outcomes of the tests, as `pytest -p tests.ran` records them file by file in `docs/ran.csv`. *fast* tests look at
parts, *slow* ones train in one process, *distributed* ones on two ranks, *gpu* ones on a CUDA device.
"""

DIFFER = """
What one version does otherwise, each an entry of `axolotl_dece/differences.py`:

| axolotl | what |
|---|---|"""

GRID = """
## Two ranks equal one process

Losses and alphas of four steps and every trained parameter afterwards, to 1e-5 relative in fp32, against a plain
loop over single documents; unequal tokens on the ranks, in one step none at all on one of them. Every tested cell has
a twin, trained with each rank's own mean, that the same comparison must reject. `1` and `2` are gradient accumulation.
"""

CANNOT = {
    "LoRA resumed under FSDP2": f"axolotl {differences.FSDP2_LORA_STARTS_OVER.versions}: "
    f"{differences.FSDP2_LORA_STARTS_OVER.reason}; resume a full fine-tune, or use ZeRO",
    "`attn_implementation: flex_attention` on CPU": "`FlexAttention does not support backward on CPU`",
    "`fp16: true`, or no `bf16` key, on CPU": "`expected m1 and m2 to have the same dtype`; set `bf16: false`",
    "`accelerate launch --cpu --num_processes 2`": "starts one process, silently; use torchrun or `--multi_gpu`",
    "packing without `attn_implementation`": "documents see each other, and axolotl only warns; set it",
    "prepared data cut short by a kill": "`FileNotFoundError` that names the folder; delete it",
}
UNTESTED = {
    "Python 3.13": "axolotl 0.20 and 0.21 do not install on it: they pin zstandard 0.22.0, which has no wheel for it",
    "NCCL and real GPUs over several ranks": "the ranks of the tests are CPU processes over gloo",
    "bf16 and fp16 under DeepSpeed and FSDP2": "the matrix is fp32, where 1e-5 means something",
    "FSDP1": "deprecated by axolotl, and gone from 0.20 on",
    "QLoRA under ZeRO-3 or FSDP2": "compared in one process only",
    "several nodes": "the launcher is the same, see [scaling.md](scaling.md)",
    "router losses under ZeRO and FSDP2": "the model's own forward adds them; compared under DDP",
    "peak memory of a 7B model in 4 bit": "needs a GPU: `python -m tests.distributed.qlora_memory`",
}


class _Collector:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        self.items = list(items)


def collect() -> list[Any]:
    """Every test of the two folders, collected and not run."""
    found = _Collector()
    where = [str(ROOT / folder) for folder in FOLDERS]
    code = pytest.main(
        ["--collect-only", "-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", *where], [found]
    )
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest could not collect {FOLDERS}: {code!r}")
    return found.items


def render() -> str:
    """The whole page."""
    items = collect()
    return (
        "\n".join([HEAD, RAN, *_ran(), DIFFER, *_differences(), GRID, *_matrix(items), *_others(items), *_lists()])
        + "\n"
    )


def _ran() -> Iterator[str]:
    rows = read_rows()
    found = {(row["axolotl"], row["python"]) for row in rows}
    environments = sorted(found | {(release, "-") for release in RELEASES if release not in dict(found)})
    yield "| tests | " + " | ".join(f"axolotl {axolotl}, Python {python}" for axolotl, python in environments) + " |"
    yield "|---" * (len(environments) + 1) + "|"
    for fact in ("torch", "transformers", "date"):
        yield f"| {fact} | " + " | ".join(_each(rows, e, fact) for e in environments) + " |"
    for kind in ("fast", "slow", "distributed", "gpu"):
        of_kind = [row for row in rows if row["kind"] == kind]
        yield f"| {kind} | " + " | ".join(_outcomes(of_kind, e) for e in environments) + " |"


def _each(rows: list[dict[str, str]], environment: tuple[str, str], fact: str) -> str:
    return ", ".join(sorted({row[fact] for row in rows if (row["axolotl"], row["python"]) == environment}))


def _outcomes(rows: list[dict[str, str]], environment: tuple[str, str]) -> str:
    here = [row for row in rows if (row["axolotl"], row["python"]) == environment]
    if not here:
        return "not run"
    counts = {name: sum(int(row[name]) for row in here) for name in OUTCOMES}
    said = [f"{count} {name}" for name, count in counts.items() if count]
    missing = len({row["file"] for row in rows} - {row["file"] for row in here})
    return ", ".join([*said, *([f"{missing} {'file' if missing == 1 else 'files'} not run"] if missing else [])])


def _differences() -> Iterator[str]:
    for entry in vars(differences).values():
        if isinstance(entry, differences.Difference):
            yield f"| {entry.versions} | {entry.reason} |"


def _matrix(items: list[Any]) -> Iterator[str]:
    names = {item.name for item in items}
    yield "| engine | tuning | " + " | ".join(f"{head} {n} {batch}" for head, n, batch in COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for engine in ENGINES:
        for tuning in ("full", "LoRA", "LoRA-with-lm_head"):
            cells = [Cell(engine, tuning, *column) for column in COLUMNS]
            yield f"| {engine} | {tuning} | " + " | ".join(_status(cell, names) for cell in cells) + " |"
    yield ""
    for cell, message in REFUSED.items():
        yield f"- {cell.name} is refused: “… {message} …”"
    yield ""


def _status(cell: Cell, names: set[str]) -> str:
    if cell in REFUSED:
        return "refused"
    if cell in CELLS and f"{MATRIX}[{cell.name}]" in names and f"{TWINS}[{cell.twin.name}]" in names:
        return "tested"
    return "untested"


def _others(items: list[Any]) -> Iterator[str]:
    by_module: dict[Any, dict[str, list[Any]]] = {}
    for item in items:
        if item.originalname not in (MATRIX, TWINS):
            by_module.setdefault(item.module, {}).setdefault(item.originalname, []).append(item)
    for module, tests in by_module.items():
        yield f"## {(inspect.getdoc(module) or module.__name__).splitlines()[0].rstrip('.')}"
        yield ""
        yield "| law | for | status |"
        yield "|---|---|---|"
        for name, variants in tests.items():
            yield from _law(name, variants)
        yield ""


def _law(name: str, variants: list[Any]) -> Iterator[str]:
    law = name.removeprefix("test_").replace("_", " ")
    fails = {item: mark for item in variants if (mark := item.get_closest_marker("xfail"))}
    passing = [_parameters(item) for item in variants if item not in fails]
    yield f"| {law} | {'; '.join(filter(None, passing))} | tested |"
    for item, mark in fails.items():
        yield f"| {law} | {_parameters(item)} | tested, except on {mark.kwargs['reason']} |"


def _parameters(item: Any) -> str:
    return item.callspec.id.replace("|", "\\|") if hasattr(item, "callspec") else ""


def _lists() -> Iterator[str]:
    yield from _table("Refused by name", {f"`{key}`": reason for key, reason in REFUSED_KEYS.items()}, "refused")
    yield from _table("What axolotl itself cannot do", CANNOT, "what happens")
    yield from _table("Untested", UNTESTED, "why")


def _table(title: str, rows: dict[str, str], column: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"| what | {column} |"
    yield "|---|---|"
    for what, text in rows.items():
        yield f"| {what} | {text} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
