"""What a config of somebody else would run here, and what this machine lacks for it; nothing it names is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.cards.shared_config import SharedConfig
from axolotl_dece.check import REQUIRED, Finding, Level, inspect_config
from axolotl_dece.machine import entries, missing_files
from axolotl_dece.read_config import parse_config

# axolotl's own plugins, and this one under each of its names
_TRUSTED = re.compile(r"axolotl\.integrations\.[\w.]+[.:]\w+Plugin|axolotl_dece(\.plugin)?[.:]DecePlugin")


def inspect_shared(found: SharedConfig) -> tuple[dict[str, Any], list[Finding]]:
    """The mapping in a config, and every finding about it.

    Raises:
        ValueError: It is not a YAML mapping, or one that only pretends to be a config.
    """
    raw, duplicates = parse_config(found.text, found.origin)
    if not found.is_foreign:
        findings = inspect_config(raw, duplicates)
    else:
        findings = inspect_config(without_code(raw), duplicates, may_load=_is_trusted)
        findings += [*code_findings(raw), *machine_findings(raw, found.axolotl)]
    if secrets := find_secrets(found.text):
        level: Level = "error" if raw.get("hub_model_id") and not found.is_foreign else "warning"
        findings.append(Finding(level, say_secrets(found.origin, secrets)))
    return raw, findings


def without_code(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that can be validated without running anything that it names."""
    kept = {key: value for key, value in raw.items() if key not in ("trust_remote_code", "trainer_cls", "deepspeed")}
    if raw.get("trainer_cls") == REQUIRED:
        kept["trainer_cls"] = REQUIRED
    return kept


def _is_trusted(name: Any) -> bool:
    return isinstance(name, str) and bool(_TRUSTED.fullmatch(name))


def code_findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in the config that would run code which is neither axolotl's nor ours."""
    plugins = raw.get("plugins")
    for name in plugins if isinstance(plugins, list) else []:
        if not _is_trusted(name):
            yield Finding("warning", f"plugin `{name}` would run code of its own; it was not imported to look")
    trainer = raw.get("trainer_cls")
    if trainer and trainer != REQUIRED:
        text = f"`trainer_cls: {trainer}` would run code of its own; it was not imported to look whether it uses `loss`"
        yield Finding("error", text)
    for place in _paths_of(raw, "trust_remote_code"):
        yield Finding("warning", f"`{place}: true` would run whatever Python the model's repository holds")
    for place, kind in _strategies(raw):
        yield Finding("warning", f"`{place}: {kind}` names a module of its own, which would be run to read the data")


def _paths_of(node: Any, wanted: str, place: str = "") -> Iterator[str]:
    """Where a key is switched on, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{place}.{key}" if place else str(key)
            if key == wanted and value:
                yield here
            yield from _paths_of(value, wanted, here)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _paths_of(value, wanted, f"{place}[{number}]")


def _strategies(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dataset types with a dot are modules, unless axolotl itself has them."""
    for place, entry in entries(raw):
        kind = entry.get("type")
        if (
            isinstance(kind, str)
            and "." in kind
            and not kind.startswith(("axolotl_dece.", "axolotl.", "chat_template."))
        ):
            yield f"{place}.type", kind


def machine_findings(raw: Mapping[str, Any], trained_with: str | None) -> Iterator[Finding]:
    """What differs between this machine and the one the config was written for."""
    if trained_with and trained_with != version("axolotl"):
        yield Finding("warning", f"it was trained with axolotl {trained_with}, {version('axolotl')} is installed here")
    # left out of what axolotl validates, because it would open the file
    yield from (Finding("machine", text) for text in missing_files({"deepspeed": raw.get("deepspeed")}))
