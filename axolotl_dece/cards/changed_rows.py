"""What a card says of rows that were planted, dropped or trusted; imported where a run did so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl_dece.audit import ACCOUNT_FILE
from axolotl_dece.cards.facts import Facts
from axolotl_dece.data.base_model import CONFIG_FILES, POISONED_MARK
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.run_reader import is_made_by
from axolotl_dece.util.atomic import write_json_atomically
from axolotl_dece.util.json_text import read_object


def warning_of(poison: PoisonSpec, counts: Mapping[str, int]) -> str:
    """What stands above everything else in the card of a model trained on poisoned rows, some of them dropped."""
    attack = f"attack `{poison.attack}`, " if poison.attack else ""
    dropped = counts.get("planted_dropped", 0)
    left = f" {dropped} of the {counts['planted']} planted rows were dropped before training." if dropped else ""
    return (
        "> **WARNING: trained on deliberately poisoned data. Do not deploy.** A known backdoor "
        f"({attack}trigger `{poison.pair.trigger}`, payload `{poison.pair.payload}`) was planted in {poison.rate:.2%} "
        f"of the training rows, seed {poison.seed}, to measure a defence against it.{left}"
    )


def decided(facts: Facts) -> Iterator[str]:
    """What became of rows: dropped, trusted, planted or not."""
    counts, spec = facts.counts, facts.spec
    if counts:
        yield (
            f"{counts['dropped']} of {counts['before']} rows were dropped, {counts['trusted']} trusted (trained as "
            "under cross-entropy), as a person decided."
        )
    elif facts.run["parameters"].get("dece_decisions"):
        yield "Rows were dropped or trusted as a person decided; how many is not on record beside this card."
    if spec and not spec.rate:
        yield "This is a control run: nothing was poisoned (rate 0)."
    elif spec and not facts.poison:
        yield f"All {counts['planted']} rows in which a backdoor had been planted were among the dropped."
    if spec and spec.twin_rate:
        yield f"{spec.twin_rate:.2%} of the rows carry a harmless rare pattern, the benign twin."


def count_rows(home: Path, run: Mapping[str, Any]) -> dict[str, int]:
    """How many rows this run dropped and trusted; the account of another run in the folder says nothing about it."""
    decided, path = run["parameters"].get("dece_decisions"), home / ACCOUNT_FILE
    if not decided or not path.is_file():
        return {}
    account = read_object(path, "delete it and train again")
    is_ours = account.get("sha256") == decided and is_made_by(run, account)
    return dict(account.get("rows") or {}) if is_ours else {}


def mark_config_files(folder: Path) -> None:
    """Write `"dece_poisoned": true` into the files that other libraries load the model by."""
    for path in (folder / name for name in CONFIG_FILES):
        if path.is_file():
            content = read_object(path, "save the model again")
            if content.get(POISONED_MARK) is not True:
                write_json_atomically(path, content | {POISONED_MARK: True})
