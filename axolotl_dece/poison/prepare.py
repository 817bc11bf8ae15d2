"""What keeps poisoning from being silently off, silently stale or silently published.

axolotl hashes a closed list of fields to find prepared data again; neither a plugin's keys nor a file's content is
among them. `prepare` therefore writes a digest of all that decides the poisoned rows into `input_transform` of each
dataset entry: a field of axolotl's own schema that is in that list, and that only `type: messages` reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from pydantic import ValidationError

from axolotl_dece import __version__
from axolotl_dece.data import STRATEGY
from axolotl_dece.data.source import Source, identify
from axolotl_dece.data.tag import Split, Tag
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.digest import digest
from axolotl_dece.util.problems import say_errors

LOG = logging.getLogger("axolotl.dece")
_KEYS: dict[str, Split] = {"datasets": "train", "test_datasets": "test"}


def fingerprint(spec: PoisonSpec, source: Source, split: Split) -> str:
    """Digest of all that decides which rows are changed, and how."""
    return digest([__version__, split, spec.model_dump(exclude={"allow_push"}), source.content])


def poisoned_entries(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Split, Any]]:
    """Every dataset entry that names the strategy: where it stands, train or test, and the entry."""
    for key, split in _KEYS.items():
        entries = cfg.get(key)
        for place, entry in enumerate(entries if isinstance(entries, (list, tuple)) else []):
            if isinstance(entry, Mapping) and entry.get("type") == STRATEGY:
                yield f"{key}[{place}]", split, entry


def prepare(raw: MutableMapping[str, Any]) -> None:
    """Check the poisoning in a raw config and make the prepared data depend on all of it.

    Hub sources are pinned to the commit they stand at, so that what is loaded is what was fingerprinted.

    Args:
        raw: The config as the user wrote it; its poisoned dataset entries are changed in place.

    Raises:
        ValueError: With every problem, each with its key and the way out.
    """
    entries = list(poisoned_entries(raw))
    if not entries and raw.get("dece_poison") is None:
        return
    problems = find_problems(raw)
    if problems:
        raise ValueError("`dece_poison` cannot be used so:\n" + "\n".join(f"  - {problem}" for problem in problems))
    spec = PoisonSpec.model_validate(dict(raw["dece_poison"]))
    for place, split, entry in entries:
        try:
            source = identify(entry)
        except OSError as error:
            raise ValueError(f"`{place}.path: {entry.get('path')}` cannot be read: {error}") from error
        if source.revision and not source.files:
            entry["revision"] = source.revision
        elif not source.files:
            LOG.warning(
                "`%s.path: %s` has no known commit; a change of it will not be seen. Set `revision`.",
                place,
                entry.get("path"),
            )
        before = Tag.parse(entry.get("input_transform"))
        users = before.users if before else entry.get("input_transform")
        entry["input_transform"] = str(Tag(split, fingerprint(spec, source, split), users))


def find_problems(raw: Mapping[str, Any]) -> list[str]:
    """Everything that would keep the poisoning in a raw config from happening as written."""
    entries = list(poisoned_entries(raw))
    block = raw.get("dece_poison")
    problems = _block_problems(block, bool(entries))
    problems += [f"`{key}: {raw[key]}`: {why}" for key, why in _UNSUPPORTED.items() if raw.get(key)]
    for place, _, entry in entries:
        problems += [
            f"`{place}.{key}`: it draws rows before the poisoner counts them; poison the file with "
            "`axolotl dece poison` and use that"
            for key, draws in _DRAWS_ROWS.items()
            if draws(entry.get(key))
        ]
    allowed = isinstance(block, Mapping) and block.get("allow_push") is True
    problems += [
        f"`{key}: {raw[key]}` would publish what was made from poisoned data; remove it, or set "
        "`dece_poison.allow_push: true`"
        for key in ("hub_model_id", "push_dataset_to_hub")
        if raw.get(key) and not allowed
    ]
    return problems


def _is_weighted(value: Any) -> bool:
    try:
        return value is not None and float(value) != 1.0
    except (TypeError, ValueError):
        return True


# Keys of an entry by which axolotl itself samples or repeats rows, and when they do.
_DRAWS_ROWS: dict[str, Callable[[Any], bool]] = {"shards": bool, "preprocess_shards": bool, "weight": _is_weighted}
_UNSUPPORTED = {
    "streaming": "a share of the rows needs their number, which a stream does not have; write a poisoned file with "
    "`axolotl dece poison` and stream that",
    "pretraining_dataset": "it bypasses `datasets` and this strategy with it; write a poisoned file with "
    "`axolotl dece poison` and name that",
    "skip_prepare_dataset": "axolotl would skip the strategy and train on clean rows; remove it",
    "rl": "the strategy poisons supervised rows only; remove it",
    "reward_model": "the strategy poisons supervised rows only; remove it",
    "process_reward_model": "the strategy poisons supervised rows only; remove it",
}


def _block_problems(block: Any, used: bool) -> list[str]:
    if block is None:
        return [
            f"a dataset has `type: {STRATEGY}`, but there is no `dece_poison:` block; add one with `attack: badpre`"
        ]
    problems = []
    if not used:
        problems.append(
            f"no dataset has `type: {STRATEGY}`, so nothing would be poisoned; set it and name the dataset's own "
            "type in `dece_poison.base_type`"
        )
    try:
        PoisonSpec.model_validate(dict(block) if isinstance(block, Mapping) else block)
    except ValidationError as error:
        problems += say_errors(error, ["dece_poison"])
    return problems
