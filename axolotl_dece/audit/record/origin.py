"""What the rows of a run were made of, kept in its ledger so that every row can be found in its file again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl_dece.data.prompt_recipe import as_json
from axolotl_dece.data.source import identify

# what decides, beside a dataset entry, which tokens a row becomes
_KEYS = (
    "sequence_len",
    "min_sample_len",
    "excess_length_strategy",
    "train_on_inputs",
    "chat_template",
    "chat_template_jinja",
    "chat_template_kwargs",
    "default_system_message",
    "special_tokens",
    "added_tokens_overrides",
    "eot_tokens",
    "tokenizer_use_mistral_common",
    "dece_poison",
)


def describe_origin(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset entries of a config with what each of them reads now, and how their rows become tokens."""
    config = {key: cfg[key] for key in _KEYS if cfg.get(key) is not None}
    found: dict[str, Any] = as_json({"entries": [_describe(entry) for entry in cfg.get("datasets") or []]})
    return found | {"config": as_json(config)}


def _describe(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in dict(entry).items() if value is not None}
    try:
        source = identify(entry)
    except (OSError, ValueError):
        return {"entry": kept, "files": {}, "content": []}
    # the commit that was read, not the one a branch stands at later
    kept |= {"revision": source.revision} if source.revision else {}
    files = zip(source.local_files, source.files.values(), strict=False)
    return {
        "entry": kept,
        "files": {str(path.absolute()): sha256 for path, sha256 in files},
        "content": source.content,
    }
