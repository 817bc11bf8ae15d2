"""Would this config really train with DeCE? Every question that can be answered before a GPU is rented."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import yaml

from axolotl_dece import versions
from axolotl_dece.keys import PLUGIN, DeceKeys, alpha_schedule, find_problems, find_warnings
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.schedule import Progress

Level = Literal["ok", "warning", "error"]
REQUIRED = "axolotl_dece.Required"


@dataclass(frozen=True)
class Finding:
    """One answer: `error` means that a run of this config would not use DeCE, or would not run."""

    level: Level
    text: str


class _DuplicateKeyLoader(yaml.SafeLoader):
    """Safe YAML that notes keys written twice in one mapping, of which plain YAML keeps the last without a word."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in seen and key != "<<":
                self.duplicates.append(
                    f"`{key}` is written twice, in lines {seen[key]} and {line}; YAML keeps the last"
                )
            seen[key] = line
        return super().construct_mapping(node, deep=deep)


def parse_config(text: str, origin: str) -> tuple[dict[str, Any], list[str]]:
    """The mapping in a YAML text, and a sentence for every key that is written twice.

    Args:
        text: The YAML.
        origin: Where it is from, for the messages.

    Raises:
        ValueError: It is not a YAML mapping.
    """
    try:
        loader = _DuplicateKeyLoader(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{origin} is not valid YAML: {error}") from error
    try:
        content = loader.get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{origin} is not valid YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise ValueError(f"{origin} holds no mapping of keys to values, so it is not an axolotl config")
    return content, loader.duplicates


def inspect_config(raw: Mapping[str, Any], duplicates: list[str], *, is_ours: bool = True) -> list[Finding]:
    """All findings about a raw config; a stage is entered only when the one before it found no error.

    Args:
        raw: The config as it was written.
        duplicates: Sentences about keys written twice.
        is_ours: Whether plugins may look at what the config names, such as the files of its datasets.
    """
    findings = [Finding("error", text) for text in duplicates]
    if problem := versions.find_untested():
        return [*findings, Finding("error", problem)]
    findings.append(Finding("ok", f"axolotl {versions.installed_axolotl()} is installed, which was tested"))
    accepts = partial(_axolotl_findings, is_ours=is_ours)
    stages = ((_plugin_findings, _loss_findings), (accepts,), (_plan_findings,))
    for stage in stages:
        for ask in stage:
            findings += ask(raw)
        if any(finding.level == "error" for finding in findings):
            break
    return findings


def _plugin_findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    plugins = raw.get("plugins") or []
    if not isinstance(plugins, list):
        yield Finding("error", f"`plugins: {plugins!r}` must be a list; write `plugins: [{PLUGIN}]`")
        return
    names = [str(name) for name in plugins]
    if PLUGIN not in map(versions.dotted_name, names):
        yield Finding("error", f"`{PLUGIN}` is not in `plugins`, so axolotl drops `loss` without a word; add it")
    yield from map(_import_finding, names)


def _import_finding(name: str) -> Finding:
    from axolotl.integrations.base import load_plugin

    if ":" in name and not versions.COLON_FORM.is_here:
        text = f"plugin `{name}`: axolotl {versions.installed_axolotl()} reads no colon; write a dot in its place"
        return Finding("error", text)
    try:
        load_plugin(name)
    except (ImportError, AttributeError, ValueError, RuntimeError) as error:
        skipped = isinstance(error, ImportError) and versions.MISSING_PLUGIN_IS_SKIPPED.is_here
        then = "would go on without it" if skipped else "would stop"
        return Finding("error", f"plugin `{name}` cannot be loaded ({error}); axolotl {then}")
    return Finding("ok", f"plugin `{name}` is listed and importable")


def _loss_findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    from axolotl.utils.schemas.config import AxolotlInputConfig

    yield from (Finding("error", text) for text in find_problems(raw, set(AxolotlInputConfig.model_fields)))
    loss = raw.get("loss")
    if isinstance(loss, str) and loss in LOSSES and loss != "dece":
        text = f"`loss: {loss}` trains {LOSSES[loss].title}, on purpose; write `loss: dece` to use DeCE"
        yield Finding("error", text)


def _axolotl_findings(raw: Mapping[str, Any], *, is_ours: bool) -> Iterator[Finding]:
    """Let axolotl validate it as it would before training, but without asking this machine for a GPU."""
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import prepare_plugins, validate_config
    from axolotl.utils.dict import DictDefault

    cfg = DictDefault(raw)
    try:
        if is_ours:
            prepare_plugins(cfg)
        else:
            for name in raw.get("plugins") or []:
                PluginManager.get_instance().register(name)
        validate_config(cfg)
    except (ValueError, RuntimeError) as error:  # pydantic's ValidationError is a ValueError
        yield Finding("error", f"axolotl refuses this config: {error}")
    else:
        yield Finding("ok", "axolotl accepts this config")


def _plan_findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    keys = DeceKeys.model_validate(raw).model_dump()
    yield Finding("ok", _say_alphas(keys, raw))
    yield from (Finding("warning", text) for text in find_warnings(keys, raw.get("num_epochs")))
    yield _logits_memory(raw)
    yield _third_line(raw)


def _say_alphas(keys: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    schedule = alpha_schedule(keys)
    epochs = max(1, math.ceil(raw.get("num_epochs") or 1))
    if schedule.name == "epoch":
        shown = sorted({*range(min(epochs, 4)), epochs - 1})
        alphas = ", ".join(f"epoch {e + 1}: {schedule.at(Progress(0, 1, e)):.4g}" for e in shown)
    elif schedule.name == "linear":
        done = [f"after {p} %: {schedule.at(Progress(p - 1, 100, 0)):.4g}" for p in (1, 25, 50, 75, 100)]
        alphas = ", ".join(done) + " of the steps"
    else:
        alphas = f"{schedule.value:.4g} throughout"
    return f"alpha ({schedule.name}): {alphas}"


def _logits_memory(raw: Mapping[str, Any]) -> Finding:
    vocab = _vocab_size(str(raw.get("base_model")))
    tokens = (raw.get("micro_batch_size") or 1) * (raw.get("sequence_len") or 512)
    if vocab is None:
        return Finding(
            "warning",
            f"logits: {raw.get('base_model')} is not on this machine, so its vocabulary is unknown; with 152k tokens "
            f"one micro-batch of {tokens} positions needs {_gib(tokens * 152064 * 2)} in bf16",
        )
    size = tokens * vocab * 2
    return Finding(
        "ok",
        f"logits: {tokens} positions x {vocab} tokens = {_gib(size)} in bf16, and as much again for their gradient",
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _vocab_size(base_model: str) -> int | None:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base_model, local_files_only=True)
    except (OSError, ValueError):
        return None
    size: int = config.get_text_config().vocab_size
    return size


def _third_line(raw: Mapping[str, Any]) -> Finding:
    if raw.get("trainer_cls") == REQUIRED:
        return Finding("ok", f"`trainer_cls: {REQUIRED}`: this config cannot train anywhere without the plugin")
    return Finding(
        "warning",
        f"without `trainer_cls: {REQUIRED}` this config trains plain cross-entropy on a machine that lacks the plugin; "
        "add the line before you share it",
    )
