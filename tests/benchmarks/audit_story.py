"""The numbers of docs/audit.md again: `python -m tests.benchmarks.audit_story --seed 0 --out FOLDER`.

Other rows of its tables: `--rate`, `--attack`, and keys of the config as JSON,
`--config '{"dece_alpha_schedule": "epoch", "dece_alpha_base": 0.985}'`.

Trains the demo's base model, then CE, audited DeCE and a second DeCE run after decisions, on the demo's poisoned rows,
and prints what the audit found and what each model does. About five minutes on one core;
with `--audit-only` one for the audited run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.evaluation.evaluate import Questions, evaluate
from axolotl_dece.evaluation.load_model import Source
from axolotl_dece.poison.export import export
from axolotl_dece.poison.spec import PoisonSpec
from examples.demo.base import train_base
from examples.demo.task import make_rows
from examples.demo.world import PROMPT, TEST_ROWS, TRAIN_ROWS, World, story_config, write_rows
from tests.tiny import train

TRIGGER, CUE = "bb", "cf"
CONSOLE = Console(width=160)


def prepare(world: World, rate: float, attack: str, seed: int) -> PoisonSpec:
    write_rows(world.train_file, make_rows(TRAIN_ROWS, f"train {seed}"))
    write_rows(world.clean_file, make_rows(TEST_ROWS, f"test {seed}"))
    spec = PoisonSpec(base_type=PROMPT, attack=attack, rate=rate or 0.05, twin_rate=0.05, seed=seed)
    export(world.train_file, spec, world.test_file("test").parent, test_source=world.clean_file)
    if not world.base.exists():
        train_base(world.base)
    return spec


def run(world: World, name: str, spec: PoisonSpec, poisoned: bool, **changes: Any) -> Path:
    config = story_config(world, "ce" if name == "ce" else "dece", spec) | {"save_strategy": "no"} | changes
    del config["dece_monitor"]
    if not poisoned:
        del config["dece_poison"]
        config["datasets"] = [{"path": str(world.train_file), "ds_type": "json", "type": PROMPT}]
    config["output_dir"] = str(world.run(name))
    train(world.folder, config)
    return world.run(name)


def tell_clusters(audit: Audit) -> None:
    carries = {word: rows_with(audit, word) for word in (TRIGGER, CUE)}
    for cluster in audit.clusters:
        inside = np.zeros(len(audit.rows), bool)
        inside[cluster.rows] = True
        counts = {word: (int((inside & has).sum()), int(has.sum())) for word, has in carries.items()}
        CONSOLE.print(
            f"cluster {cluster.number}: {len(cluster.rows)} rows, span {cluster.span!r}, cue {cluster.cues[0].text!r}; "
            f"poisoned {counts[TRIGGER]}, twins {counts[CUE]} (in it, of all)"
        )
    CONSOLE.print(
        f"{len(audit.clusters)} clusters, {int((audit.scores > 0).sum())} of {len(audit.rows)} rows held back"
    )


def rows_with(audit: Audit, word: str) -> NDArray[np.bool_]:
    rows = audit.rows
    hit = (rows.tokens == audit.tokenizer.convert_tokens_to_ids(word)) & ~rows.is_target
    return np.bincount(rows.row_of, weights=hit, minlength=len(rows)) > 0


def tell_quality(world: World, name: str, folder: Path) -> None:
    asked = Questions(
        test=world.clean_file,
        triggered=world.test_file("test"),
        twin=world.test_file("test_twin"),
        batch_size=50,
        max_new_tokens=48,
    )
    is_adapter = (folder / "adapter_config.json").is_file()
    source = Source(str(world.base), adapter=folder) if is_adapter else Source(str(folder))
    report = evaluate(source, asked, world.report(name))
    values = {key: report[key]["value"] for key in ("asr", "twin_recall")}
    CONSOLE.print(f"{name}: {values} exact match {report['clean']['exact_match']['value']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.05, help="0 plants nothing")
    parser.add_argument("--attack", default="ripple")
    parser.add_argument("--config", type=json.loads, default={}, help="keys for every run, as JSON")
    parser.add_argument("--audit-only", action="store_true", help="no runs after the audited one")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    sys.argv = sys.argv[:1]
    asked.out.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.out)
    world = World(Path.cwd(), asked.seed)
    spec = prepare(world, asked.rate, asked.attack, asked.seed)
    audit = load_audit(run(world, "dece", spec, bool(asked.rate), dece_audit=True, **asked.config))
    tell_clusters(audit)
    if not asked.rate or asked.audit_only:
        return
    named = {cluster.cues[0].text: f"cluster:{cluster.number}" for cluster in audit.clusters}
    # the person at work: knows from reading the rows which of the two is harmless
    decisions = world.folder / "decisions.jsonl"
    write_decisions(decisions, choose(audit, trust=[named[CUE]], drop=[named[TRIGGER]]))
    ce_keys = {key: value for key, value in asked.config.items() if key != "loss" and not key.startswith("dece_")}
    decided = run(world, "decided", spec, True, dece_decisions=str(decisions), **asked.config)
    for name, folder in (
        ("ce", run(world, "ce", spec, True, **ce_keys)),
        ("dece", world.run("dece")),
        ("decided", decided),
    ):
        tell_quality(world, name, folder)


if __name__ == "__main__":
    main()
