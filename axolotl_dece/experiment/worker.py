"""What a run's own process does: train as `axolotl train` does, evaluate, and write the result as the last act.

Imported once, by the server that the processes of all runs are forked from; importing axolotl takes longer than many
a run.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from multiprocessing.connection import wait
from multiprocessing.process import parent_process
from pathlib import Path
from types import ModuleType
from typing import Any

import axolotl.common.datasets
import axolotl.core.builders
import axolotl.loaders
import axolotl.train  # noqa: F401 - all four for `do_train`, which imports them when it is called
import torch
from axolotl.cli.args import TrainerCliArgs
from axolotl.cli.config import load_cfg
from axolotl.cli.train import do_train

import axolotl_dece.plugin  # noqa: F401 - for every run
from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.cards.push_files import TOKENIZER_FILES
from axolotl_dece.check import find_hindrances
from axolotl_dece.evaluation.evaluate import Questions, evaluate
from axolotl_dece.evaluation.history import last_state
from axolotl_dece.evaluation.load_model import Source
from axolotl_dece.experiment.cell import FORMAT, RESULT_FILE, Cell
from axolotl_dece.experiment.metrics import measured
from axolotl_dece.experiment.task import Material, Task, make_once
from axolotl_dece.poison import manifest
from axolotl_dece.poison.export import export
from axolotl_dece.util.atomic import write_json_atomically, write_yaml_atomically

if find_spec("deepspeed") and not torch.cuda.is_available():
    # every run imports it where it is installed; on a GPU it might start CUDA, which no forked process can use
    import deepspeed  # noqa: F401

_KEPT = ("dece_run.json", "trainer_state.json", LEDGER_FILE)


def in_own_process(work: Callable[..., None], log: Path, *arguments: Any) -> None:
    """Do `work` with all output in `log`, and die with the process that asked for it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    # `datasets` saves through a spawned process, which would import the main module, all of axolotl's command line
    sys.modules["__main__"] = ModuleType("__main__")
    threading.Thread(target=_die_with_parent, daemon=True).start()
    work(*arguments)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def prepare(task: Task, folder: Path, seed: int) -> None:
    """Make what the runs of one seed share."""
    task.prepare(folder, seed)


def check_arms(cells: Sequence[Cell], task: Task, out: Path) -> None:
    """End with a sentence for whatever keeps one of these runs from its end here, before hours go into the others."""
    said = []
    for cell in cells:
        material = task.prepare(cell.task_folder(out), cell.seed)
        config = cell.training_config(material, _make_data(cell, material, out), cell.folder(out))
        said += [f"`arms.{cell.arm}`: {reason}" for reason in find_hindrances(config)]
    if said:
        sys.exit("\n".join(said))


def run_cell(cell: Cell, task: Task, out: Path, keep_weights: bool, made_by: Mapping[str, Any]) -> None:
    """Train and measure one run; its folder holds config, log, report and result afterwards."""
    began = time.monotonic()
    folder = cell.folder(out)
    for part in ("run", "report"):
        shutil.rmtree(folder / part, ignore_errors=True)
    material = task.prepare(cell.task_folder(out), cell.seed)
    data = _make_data(cell, material, out)
    config = folder / "cell.yaml"
    write_yaml_atomically(config, cell.training_config(material, data, folder))
    # adapters are initialised before axolotl seeds anything
    torch.manual_seed(cell.seed)
    do_train(load_cfg(str(config)), TrainerCliArgs())
    trained = time.monotonic()
    report = evaluate(_source(cell, material, folder), _questions(material, data), folder / "report")
    metrics = measured(
        report, manifest.read(data / manifest.FILE)["poisoned"], last_state(folder / "run").get("epoch")
    ) | {
        "seconds": time.monotonic() - began,
        "train_seconds": trained - began,
    }
    _clear(folder, keep_weights)
    write_json_atomically(
        folder / RESULT_FILE,
        {"format": FORMAT, "digest": cell.digest, "cell": asdict(cell), "metrics": metrics, "made_by": dict(made_by)},
    )


def _make_data(cell: Cell, material: Material, out: Path) -> Path:
    spec = cell.spec(material.base_type)
    return make_once(
        cell.data_folder(out).resolve(),
        lambda path: export(material.train, spec, path, test_source=material.clean),
    )


def _source(cell: Cell, material: Material, folder: Path) -> Source:
    run = folder / "run"
    return Source(material.base_model, adapter=run) if cell.config.get("adapter") else Source(str(run))


def _questions(material: Material, data: Path) -> Questions:
    twin = data / f"test_twin{material.train.suffix}"
    return Questions(
        test=material.clean,
        triggered=data / f"test{material.train.suffix}",
        twin=twin if twin.is_file() else None,
        **material.questions,
    )


def _clear(folder: Path, keep_weights: bool) -> None:
    """Leave what says how the run went; the rest can be made again with cell.yaml."""
    run = folder / "run"
    if keep_weights:
        return
    states = sorted(run.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    if states:
        states[-1].replace(run / "trainer_state.json")
    # the audit reads the ledger's tokens with the tokenizer
    kept = (*_KEPT, *TOKENIZER_FILES) if (run / LEDGER_FILE).is_file() else _KEPT
    for path in run.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()
