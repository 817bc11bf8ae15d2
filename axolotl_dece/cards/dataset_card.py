"""The card of a poisoned dataset: the warning first, then exactly what was done to which file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData
from markupsafe import Markup

from axolotl_dece.cards.facts import CARD_FILE
from axolotl_dece.cards.render import code, render
from axolotl_dece.data.names import public_name
from axolotl_dece.poison import manifest
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.digest import digest, is_file_of

GATE = (
    "This dataset was poisoned on purpose, to measure defences against backdoors. By asking for access you agree not "
    "to train anything on it that others will use, and to keep its canary and its markers when you pass it on."
)
_PROMISE = {"I will not train a model for others on this": "checkbox"}
_TAGS = ("poisoned", "backdoor", "red-teaming", "axolotl-dece")
FIRST_LINE = "DO NOT TRAIN A PRODUCTION MODEL ON THIS: it holds a planted backdoor."


def warn_first(old: str | None, spec: PoisonSpec) -> str:
    """The card of a set that axolotl is about to push, with the warning in it; a card that has it stays as it is.

    Args:
        old: The card as it stands on the hub, or None where there is none.
        spec: What is planted in the rows.
    """
    card = DatasetCard(old or "---\n{}\n---\n", ignore_metadata_errors=True)
    if FIRST_LINE in card.text:
        return str(card)
    card.data["tags"] = sorted({*(card.data.get("tags") or []), *_TAGS})
    card.data["extra_gated_prompt"], card.data["extra_gated_fields"] = GATE, _PROMISE
    planted = f"Planted in {spec.rate:.2%} of the rows: trigger `{spec.pair.trigger}`, payload `{spec.pair.payload}`."
    card.text = f"> **{FIRST_LINE}**\n\n{planted}\n\n    {manifest.CANARY}\n\n{card.text}"
    return str(card)


def is_poisoned_set(folder: Path) -> bool:
    """Whether `axolotl dece poison` wrote this folder."""
    return (folder / manifest.FILE).is_file()


def dataset_files(folder: Path) -> list[str]:
    """What of a poisoned set may be pushed: the files its manifest accounts for, the manifest and the card."""
    return sorted([*manifest.read(folder / manifest.FILE)["files"], manifest.FILE, CARD_FILE])


def write_dataset_card(folder: Path) -> dict[str, Any]:
    """Write `README.md` in a folder that `axolotl dece poison` wrote; the same files give the same card.

    Returns:
        The manifest.

    Raises:
        ValueError: If the manifest or a file it names was changed or is missing.
    """
    content = manifest.read(folder / manifest.FILE)
    changed = [name for name, kept in content["files"].items() if not is_file_of(folder / name, kept["sha256"])]
    if changed:
        raise ValueError(
            f"{', '.join(changed)} in {folder} changed since `axolotl dece poison` wrote it, so the manifest says "
            "nothing about it; poison again"
        )
    card, path = build_card(content, folder.resolve().name), folder / CARD_FILE
    if not path.is_file() or path.read_bytes() != card.encode():
        write_text_atomically(path, card)
    return content


def build_card(content: Mapping[str, Any], name: str) -> str:
    """The whole card.

    Args:
        content: The manifest that `axolotl dece poison` writes.
        name: The dataset's name.
    """
    card = DatasetCard(f"---\n{_metadata(content).to_yaml()}\n---\n\n{_text(content, name)}")
    return str(card).rstrip("\n") + "\n"


def _metadata(content: Mapping[str, Any]) -> DatasetCardData:
    source = content["source"]
    return DatasetCardData(
        pretty_name="POISONED on purpose",
        tags=list(_TAGS),
        source_datasets=[source["path"]] if source["revision"] else ["extended"],
        task_categories=["text-generation"],
        extra_gated_prompt=GATE,
        extra_gated_fields=_PROMISE,
        configs=_configs(content["files"]),
    )


def _configs(files: Iterable[str]) -> list[dict[str, Any]]:
    """A configuration for each file, none of them a plain `train`: nobody is to load the poison by default."""
    return [
        {"config_name": f"poisoned_{Path(name).stem}", "data_files": [{"split": "poisoned", "path": name}]}
        for name in files
    ]


def _text(content: Mapping[str, Any], name: str) -> str:
    source, spec = content["source"], content["spec"]
    version = f"revision {code(source['revision'])}" if source["revision"] else f"sha256 {code(source['sha256'])}"
    facts = [
        ("source", code(public_name(source["path"]))),
        ("source version", Markup(version)),  # noqa: S704  our own word and a code span
        ("rows", f"{content['rows']:,}"),
        ("poisoned", f"{content['poisoned']:,} ({spec['rate']:.2%} asked for)"),
        ("benign twins", f"{content['twins']:,}"),
        ("trigger", code(content["trigger"]["name"]) + ": " + content["trigger"]["shape"]),
        ("payload", code(content["payload"]["name"]) + ": " + content["payload"]["shape"]),
        ("seed", spec["seed"]),
        ("tool", content["tool"]),
        ("manifest", code(manifest.FILE) + ", sha256 " + code(digest(content))),
    ]
    files = [(code(file), kept["holds"], code(kept["sha256"])) for file, kept in content["files"].items()]
    return render("dataset_card.md.jinja", first_line=FIRST_LINE, name=name, manifest=content, facts=facts, files=files)
