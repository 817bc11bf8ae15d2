"""Configs of others: from a file, a hub repository or a URL, always as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from axolotl_dece.cards.embedded_config import embedded_config
from axolotl_dece.read_config import parse_config

_LARGEST = 1 << 20
_SECONDS = 30.0
_REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_HUB_PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<name>[\w.-]+/[\w.-]+?)"
    r"(?:/(?:blob|resolve|raw|tree)/(?P<revision>[^/?#]+)(?:/(?P<file>[^?#]+))?)?/?(?:[?#].*)?"
)
# looked for in this order when the card embeds no config
_CONFIG_FILES = (
    "config.yaml",
    "config.yml",
    "axolotl.yaml",
    "axolotl.yml",
    "axolotl_config.yaml",
    "axolotl_config.yml",
)


@dataclass(frozen=True)
class SharedConfig:
    """A config as text, and where it is from.

    Attributes:
        text: The YAML.
        origin: For people: a path, a URL, or a file of a repository.
        is_foreign: Whether it came from elsewhere, so that nothing it names may be run.
        axolotl: The version of axolotl it was trained with, where that is known.
    """

    text: str
    origin: str
    is_foreign: bool = False
    axolotl: str | None = None


def fetch_config(source: str) -> SharedConfig:
    """The config that `source` names.

    Args:
        source: A file; `org/name` or `org/name@revision` of a model on the hub; or an http(s) address.

    Raises:
        ValueError: If it cannot be read or holds no config.
    """
    path = Path(source)
    if path.exists():
        return SharedConfig(_read_file(path), source)
    if page := _HUB_PAGE.fullmatch(source):
        return _from_hub(page["name"], page["revision"], page["file"])
    if "://" in source:
        return SharedConfig(_download(source), source, is_foreign=True)
    if path.suffix not in (".yaml", ".yml") and (repository := _REPOSITORY.fullmatch(source)):
        return _from_hub(repository["name"], repository["revision"], None)
    return SharedConfig(_read_file(path), source)


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(text) > _LARGEST:
        raise ValueError(f"{path} is larger than {_LARGEST >> 20} MiB, so it is no config")
    return text


def _download(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url}: only http and https addresses are read")
    body = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_SECONDS) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise ValueError(f"{url} is larger than {_LARGEST >> 20} MiB, so it is no config")
        text = body.decode("utf-8")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeDecodeError) as error:
        raise ValueError(f"{url} cannot be read: {error}") from error
    if text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        raise ValueError(f"{url} is a web page, not a YAML file; give the address of the raw file")
    return text


def _from_hub(name: str, revision: str | None, file: str | None) -> SharedConfig:
    if file:
        text = _hub_text(name, revision, file)
        if text is None:
            raise ValueError(f"{name} has no file {file}, or the hub cannot be reached from here")
        return SharedConfig(text, f"{name}/{file}", is_foreign=True)
    card = _hub_text(name, revision, "README.md")
    if card and (embedded := embedded_config(card)):
        return SharedConfig(embedded.text, f"the card of {name}", True, embedded.axolotl)
    for candidate in _config_files(name, revision):
        text = _hub_text(name, revision, candidate)
        if text is not None and _looks_like_a_config(text):
            return SharedConfig(text, f"{name}/{candidate}", is_foreign=True)
    raise ValueError(
        f"no axolotl config of {name} can be read, neither in its card nor as a YAML file; is the name right, and can "
        "the hub be reached from here (HF_HUB_OFFLINE, HF_TOKEN)?"
    )


def _config_files(name: str, revision: str | None) -> list[str]:
    """YAML files of the repository, the usual names first; only the usual names where the hub cannot be asked."""
    try:
        listed = HfApi().list_repo_files(name, revision=revision)
    except (OfflineModeIsEnabled, httpx.HTTPError, OSError):
        return list(_CONFIG_FILES)
    found = [file for file in listed if file.endswith((".yaml", ".yml"))]
    return sorted(found, key=lambda file: (file not in _CONFIG_FILES, file.count("/"), file))


def _looks_like_a_config(text: str) -> bool:
    try:
        return "base_model" in parse_config(text, "")[0]
    except ValueError:
        return False


def _hub_text(name: str, revision: str | None, file: str) -> str | None:
    """A file of a repository; None where it has none, or the hub cannot be reached and the cache has none."""
    try:
        return _read_file(Path(hf_hub_download(name, file, revision=revision)))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError) as error:
        raise ValueError(f"{name} cannot be read from the hub: {error}") from error
