"""Pushing by hand: the card first, secrets never, poison only when told so twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from axolotl_dece.cards.dataset_card import warn_first
from axolotl_dece.cards.facts import Facts
from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.cards.shared_config import embedded_config
from axolotl_dece.poison.spec import PoisonSpec

# What stays at home: checkpoints and scratch as in the trainer's own push, and every pickle.
_IGNORED = ["_*", ".*", "checkpoint-*", "*.bin", "*.pt", "*.pth", "*.pkl", "*.log", "runs/*", "wandb/*"]
# What is written by hand or by axolotl from what was. Rows and vocabularies are full of words that only sound secret.
_TEXTS = {".md", ".json", ".yaml", ".yml", ".txt"}
_VOCABULARIES = {"tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"}
_LARGEST_TEXT = 8 << 20


def push_model(folder: Path, facts: Facts, repo: str | None, public: bool, allow_poisoned: bool) -> str:
    """Push an `output_dir` whose card has been written; returns the address.

    Args:
        folder: The run.
        facts: What its card was made of.
        repo: `org/name`, or None for `hub_model_id` of the config in the card.
        public: A new repository is public instead of private.
        allow_poisoned: Push a model that was trained on poisoned data.

    Raises:
        ValueError: If there is no repository to push to, a file holds what looks like a secret, the model is poisoned
            and that was not allowed, or the hub refuses.
    """
    if facts.poison and not (allow_poisoned or facts.poison.get("allow_push")):
        raise ValueError(f"{folder} was trained on poisoned data; give --allow-poisoned to push it, marked as such")
    target = repo or hub_model_id(folder)
    refuse_secrets_in(folder)
    return _push(folder, target, "model", private=not public)


def push_dataset(folder: Path, repo: str | None, public: bool, allow_poisoned: bool) -> str:
    """Push a poisoned dataset, gated: every access has to be granted; returns the address. Raises as `push_model`."""
    if not allow_poisoned:
        raise ValueError(f"{folder} holds poisoned data; give --allow-poisoned to push it, gated and marked as such")
    if repo is None:
        raise ValueError("nothing says where to push the dataset; give --repo org/name")
    refuse_secrets_in(folder)
    return _push(folder, repo, "dataset", private=not public)


def announce_prepared_set(cfg: Mapping[str, Any]) -> None:
    """Put warning and gate on the hub before axolotl pushes prepared data with poisoned rows in it.

    axolotl's push (`push_dataset_to_hub`) keeps the text of a card that is there.

    Raises:
        ValueError: If the hub refuses.
    """
    repo = cfg.get("push_dataset_to_hub")
    if not repo or not cfg.get("dece_poison") or int(os.environ.get("RANK", "0")):
        return
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.update_repo_settings(repo, repo_type="dataset", gated="manual")
        old = DatasetCard.load(repo).content if api.file_exists(repo, "README.md", repo_type="dataset") else None
        card = warn_first(old, PoisonSpec.model_validate(dict(cfg["dece_poison"])))
        api.upload_file(
            path_or_fileobj=card.encode(),
            path_in_repo="README.md",
            repo_id=repo,
            repo_type="dataset",
            commit_message="A warning before the data, by axolotl-dece",
        )
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, ConnectionError, OSError) as error:
        raise ValueError(f"`push_dataset_to_hub: {repo}`: no warning could be put there first: {error}") from error


def hub_model_id(folder: Path) -> str:
    """`hub_model_id` of the config that axolotl copied into the card of `folder`; ValueError if there is none."""
    text = embedded_config((folder / "README.md").read_text(encoding="utf-8"))
    config = yaml.safe_load(text) if text else None
    name = config.get("hub_model_id") if isinstance(config, dict) else None
    if not name:
        raise ValueError("the config in the card has no `hub_model_id`; give --repo org/name")
    return str(name)


def refuse_secrets_in(folder: Path) -> None:
    """Raise ValueError if any text that would be pushed from `folder` holds what looks like a secret."""
    found = [say_secrets(str(path), secrets) for path in _texts(folder) if (secrets := find_secrets(_read(path)))]
    if found:
        raise ValueError("nothing was pushed: " + "; ".join(found))


def _texts(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        kept = not any(part.startswith(("_", ".", "checkpoint-")) for part in inside.parts)
        kept = kept and path.suffix in _TEXTS and path.name not in _VOCABULARIES
        if kept and path.is_file() and path.stat().st_size <= _LARGEST_TEXT:
            yield path


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _push(folder: Path, repo: str, kind: str, *, private: bool) -> str:
    api = HfApi()
    try:
        made = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        if kind == "dataset":
            # before the first row is there, so that nobody reads it ungated
            api.update_repo_settings(made.repo_id, repo_type=kind, gated="manual")
        arguments: dict[str, Any] = {"repo_id": made.repo_id, "repo_type": kind, "commit_message": "With axolotl-dece"}
        # the warning is up before what it warns of
        api.upload_file(path_or_fileobj=folder / "README.md", path_in_repo="README.md", **arguments)
        api.upload_folder(folder_path=folder, ignore_patterns=_IGNORED, **arguments)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, ConnectionError, OSError) as error:
        raise ValueError(f"the hub did not take {repo}: {error}") from error
    return str(made)
