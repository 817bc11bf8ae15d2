"""The DeCE part of a model card: what trained the model, on what, and what was measured. Written again, it is the same.

axolotl writes the card from scratch whenever it saves or pushes, so ours is put into theirs and can be put in anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from axolotl_dece.cards import markdown
from axolotl_dece.cards.embedded_config import embedded_config
from axolotl_dece.cards.facts import CARD_FILE, TASK, Facts, gather
from axolotl_dece.cards.folders import hide_folders
from axolotl_dece.cards.secrets import hide_secrets
from axolotl_dece.cards.section import section_of
from axolotl_dece.data.names import is_hub_name
from axolotl_dece.util.atomic import write_text_atomically

SECTION, WARNING = "axolotl-dece", "axolotl-dece-warning"
POISONED_TAGS = ("poisoned", "backdoor")
DEFENCE_TAGS = ("dece", "backdoor-defense")
TITLE = "POISONED: "
# transformers says so of every model that is not from the hub
_FROM_SCRATCH = "This model was trained from scratch on "


def write_model_card(folder: Path, reports: Sequence[Path] = (), run: Path | None = None) -> Facts:
    """Put our part into `README.md` of `folder`, making the file where there is none, and mark a poisoned model.

    Args:
        folder: `output_dir` of a run.
        reports: Further folders with evaluations of this run.
        run: Where its record lies, if neither in `folder` nor above it.

    Returns:
        What the card was made of.

    Raises:
        ValueError: As `gather` and `parse_card`.
    """
    facts, path, name = gather(folder, reports, run), folder / CARD_FILE, folder.resolve().name
    old = path.read_bytes() if path.is_file() else b""
    text = build_card(parse_card(path, old), facts, name, folder)
    if text.encode() != old:
        write_text_atomically(path, text)
    if facts.poison:
        from axolotl_dece.cards.changed_rows import mark_config_files

        mark_config_files(folder)
    return facts


def parse_card(path: Path, content: bytes) -> ModelCard:
    """A model card as it lies on the disk; ValueError with the file and the remedy for one that no reader takes."""
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        return ModelCard(hide_secrets(text) or "---\nlibrary_name: transformers\n---\n", ignore_metadata_errors=True)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(
            f"{path}: its metadata, the part between the two `---` lines, cannot be read ({problem}); mend it, or move "
            "the file away, and a new card is written"
        ) from error


def build_card(card: ModelCard, facts: Facts, name: str, folder: Path) -> str:
    """The card with our part in it; calling it on its own result changes nothing.

    Args:
        card: Metadata and text, changed in place.
        facts: What to say.
        name: The model's name, where the card has no title.
        folder: Where it lies, which the card is not to say.
    """
    config = config_in(card.text)
    _set_metadata(card, facts, name)
    text = build_text(card.text, facts, name, config.get("hub_model_id"))
    card.text = hide_folders(text, folder, config)
    return str(card).rstrip("\n") + "\n"


def config_in(card: str) -> dict[str, Any]:
    """The config that axolotl copied into a card; empty where there is none, or none that can be read."""
    embedded = embedded_config(card)
    try:
        found = yaml.safe_load(embedded.text if embedded else "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def build_text(text: str, facts: Facts, name: str, repository: str | None) -> str:
    """The text of a card with our warning first, our title and our section."""
    if facts.base and not facts.base["from_scratch"]:
        text = text.replace(_FROM_SCRATCH, "This model was trained on ")
    bare = markdown.drop_block(markdown.drop_block(text, SECTION), WARNING)
    titled = markdown.set_title(bare, TITLE, bool(facts.poison), name)
    section = section_of(facts, name, repository)
    with_section = markdown.put_block(titled, SECTION, section, markdown.after_title(titled))
    if not facts.poison:
        return with_section.lstrip("\n")
    from axolotl_dece.cards.changed_rows import warning_of

    return markdown.put_block(with_section.lstrip("\n"), WARNING, warning_of(facts.poison, facts.counts), 0)


def _set_metadata(card: Any, facts: Facts, name: str) -> None:
    data, base = card.data, facts.base or {}
    ours = {*POISONED_TAGS, *DEFENCE_TAGS}
    tags = [tag for tag in _texts(data.tags) if tag not in ours and not _names_a_path(tag)]
    tags += ["axolotl"] * ("axolotl" not in tags)
    tags += DEFENCE_TAGS if facts.is_defended else ()
    tags += POISONED_TAGS if facts.poison else ()
    data.tags = tags
    data.base_model = _hub_names(data.base_model) or base.get("hub_name")
    data.license = data.license or base.get("license")
    data.datasets = _hub_names(data.datasets) or _hub_datasets(facts.run)
    data.eval_results = [result for result in data.eval_results or [] if result.task_name != TASK]
    if facts.reports:
        from axolotl_dece.cards.measured import eval_results

        data.eval_results += eval_results(facts.reports)
    # `model-index` takes its name from here, which axolotl makes the `output_dir`; without a result the hub refuses it
    data.eval_results = data.eval_results or None
    data.model_name = Path(str(data.model_name or name)).name if data.eval_results else None


def _texts(written: Any) -> list[str]:
    """What stands in a list of metadata; YAML reads `2024` as a number and an empty item as None."""
    items = written if isinstance(written, list) else [written]
    return [str(item) for item in items if item is not None]


def _hub_datasets(run: Mapping[str, Any]) -> list[str] | None:
    """The datasets of the hub that a run trained on; local ones are known by the digest of their files."""
    used = run.get("datasets") or []
    names = [one["name"] for one in used if one["use"] == "train" and not one["sha256"] and is_hub_name(one["name"])]
    return list(dict.fromkeys(name for name in names if "/" in name)) or None


def _names_a_path(tag: str) -> bool:
    """PEFT puts the base model into a tag, wherever on a disk it lies."""
    return tag.startswith("base_model:") and not is_hub_name(tag.rsplit(":", 1)[-1])


def _hub_names(names: Any) -> Any:
    """Without local paths, which the hub refuses and which say where somebody keeps their files."""
    if isinstance(names, list):
        return [name for name in names if is_hub_name(name)] or None
    return names if is_hub_name(names) else None
