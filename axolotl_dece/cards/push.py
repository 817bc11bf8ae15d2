"""Pushing by hand: the card first, secrets never, poison only when told so twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from axolotl_dece.cards.dataset_card import dataset_files, warn_first
from axolotl_dece.cards.facts import Facts
from axolotl_dece.cards.model_card import config_in
from axolotl_dece.cards.push_files import model_files
from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.poison.spec import PoisonSpec

# Rows and vocabularies are full of words that only sound secret: there only the shape of a credential counts.
_VOCABULARIES = {"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"}
_ROWS = {".jsonl", ".csv"}
_REFUSALS = (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, ConnectionError, OSError)
_BINARY = {".safetensors", ".model", ".parquet"}


class Pushed(NamedTuple):
    """Where a folder went, and which of its files."""

    url: str
    names: list[str]


def push_model(folder: Path, facts: Facts, repo: str | None, public: bool, allow_poisoned: bool) -> Pushed:
    """Push the model in an `output_dir` whose card has been written.

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
    if facts.poison and not (allow_poisoned or facts.poison.allow_push):
        raise ValueError(f"{folder} was trained on poisoned data; give --allow-poisoned to push it, marked as such")
    target, names = repo or hub_model_id(folder), model_files(folder)
    refuse_secrets_in(folder, names)
    return Pushed(_push(folder, names, target, "model", private=not public), names)


def push_dataset(folder: Path, repo: str | None, public: bool, allow_poisoned: bool) -> Pushed:
    """Push a poisoned dataset, gated: every access has to be granted. Raises as `push_model`."""
    if not allow_poisoned:
        raise ValueError(f"{folder} holds poisoned data; give --allow-poisoned to push it, gated and marked as such")
    if repo is None:
        raise ValueError("nothing says where to push the dataset; give --repo org/name")
    names = dataset_files(folder)
    refuse_secrets_in(folder, names)
    return Pushed(_push(folder, names, repo, "dataset", private=not public), names)


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
    except _REFUSALS as error:
        raise ValueError(f"`push_dataset_to_hub: {repo}`: no warning could be put there first: {error}") from error


def hub_model_id(folder: Path) -> str:
    """`hub_model_id` of the config that axolotl copied into the card of `folder`; ValueError if there is none."""
    name = config_in((folder / "README.md").read_text(encoding="utf-8")).get("hub_model_id")
    if not name:
        raise ValueError("the config in the card has no `hub_model_id`; give --repo org/name")
    return str(name)


def refuse_secrets_in(folder: Path, names: Iterable[str]) -> None:
    """Raise ValueError if any text among the files that are about to be pushed holds what looks like a secret."""
    found = []
    for path in (folder / name for name in names):
        if path.suffix not in _BINARY:
            by_name = path.name not in _VOCABULARIES and path.suffix not in _ROWS
            secrets = find_secrets(path.read_text(encoding="utf-8", errors="replace"), by_name=by_name)
            found += [say_secrets(path.name, secrets)] if secrets else []
    if found:
        raise ValueError("nothing was pushed: " + "; ".join(found))


def _push(folder: Path, names: list[str], repo: str, kind: str, *, private: bool) -> str:
    api = HfApi()
    try:
        made = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        if kind == "dataset":
            # before the first row is there, so that nobody reads it ungated
            api.update_repo_settings(made.repo_id, repo_type=kind, gated="manual")
        arguments: dict[str, Any] = {"repo_id": made.repo_id, "repo_type": kind, "commit_message": "With axolotl-dece"}
        # the warning is up before what it warns of
        api.upload_file(path_or_fileobj=folder / "README.md", path_in_repo="README.md", **arguments)
        api.upload_folder(folder_path=folder, allow_patterns=names, **arguments)
    except _REFUSALS as error:
        raise ValueError(f"the hub did not take {repo}: {error}") from error
    return str(made)
