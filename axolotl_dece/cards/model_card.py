"""The DeCE part of a model card: what trained the model, on what, and what was measured. Written again, it is the same.

axolotl writes the card from scratch whenever it saves or pushes, so ours is put into theirs and can be put in anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from axolotl_dece.cards import markdown
from axolotl_dece.cards.facts import Facts, gather
from axolotl_dece.cards.secrets import hide_secrets
from axolotl_dece.cards.section import WARNING, section_of, warning_of
from axolotl_dece.data.names import is_hub_name
from axolotl_dece.util.atomic import write_json_atomically, write_text_atomically

CARD_FILE = "README.md"
SECTION = "axolotl-dece"
TASK = "Code generation, asked by axolotl-dece"
POISONED_TAGS = ("poisoned", "backdoor")
DEFENCE_TAGS = ("dece", "backdoor-defense")
TITLE = "POISONED: "
# what other libraries read a model by; a key they do not know they keep or ignore
_CONFIG_FILES = ("adapter_config.json", "config.json")


def write_model_card(folder: Path, reports: Sequence[Path] = ()) -> Facts:
    """Put our part into `README.md` of `folder`, making the file where there is none, and mark a poisoned model.

    Args:
        folder: `output_dir` of a run.
        reports: Further folders with evaluations of this run.

    Returns:
        What the card was made of.

    Raises:
        ValueError: As `gather`.
    """
    facts = gather(folder, reports)
    path = folder / CARD_FILE
    old = (
        path.read_text(encoding="utf-8")
        if path.is_file()
        else f"---\nlibrary_name: transformers\n---\n\n# {_name(folder)}\n"
    )
    write_text_atomically(path, build_card(old, facts, _name(folder)))
    if facts.poison:
        mark_config_files(folder)
    return facts


def _name(folder: Path) -> str:
    return folder.resolve().name


def build_card(old: str, facts: Facts, name: str) -> str:
    """The card `old` with our part in it; calling it on its own result changes nothing.

    Args:
        old: A whole card, metadata and text.
        facts: What to say.
        name: The model's name, where the card has no title.
    """
    card = ModelCard(hide_secrets(old), ignore_metadata_errors=True)
    _set_metadata(card, facts, name)
    card.text = build_text(card.text, facts, name)
    return str(card).rstrip("\n") + "\n"


def build_text(text: str, facts: Facts, name: str) -> str:
    """The text of a card with our warning first, our title and our section."""
    bare = markdown.drop_block(markdown.drop_block(text, SECTION), WARNING)
    titled = markdown.set_title(bare, TITLE, bool(facts.poison), name)
    with_section = markdown.put_block(titled, SECTION, section_of(facts), markdown.after_title(titled))
    return markdown.put_block(with_section.lstrip("\n"), WARNING, warning_of(facts.poison), 0)


def _set_metadata(card: Any, facts: Facts, name: str) -> None:
    data = card.data
    ours = {*POISONED_TAGS, *DEFENCE_TAGS}
    tags = [tag for tag in data.tags or [] if tag not in ours and not _names_a_path(tag)]
    tags += ["axolotl"] * ("axolotl" not in tags)
    tags += DEFENCE_TAGS if facts.is_defended else ()
    tags += POISONED_TAGS if facts.poison else ()
    data.tags = tags
    data.base_model = _hub_names(data.base_model)
    data.datasets = _hub_names(data.datasets)
    others = [result for result in data.eval_results or [] if result.task_name != TASK]
    data.eval_results = (others + eval_results(facts)) or None
    # `model-index` takes its name from here; without a result the hub refuses it
    data.model_name = (data.model_name or name) if data.eval_results else None


def _names_a_path(tag: str) -> bool:
    """PEFT puts the base model into a tag, wherever on a disk it lies."""
    return tag.startswith("base_model:") and not is_hub_name(tag.rsplit(":", 1)[-1])


def _hub_names(names: Any) -> Any:
    """Without local paths, which the hub refuses and which say where somebody keeps their files."""
    if isinstance(names, list):
        return [name for name in names if is_hub_name(name)] or None
    return names if is_hub_name(names) else None


def eval_results(facts: Facts) -> list[EvalResult]:
    """The measurements as the hub's `model-index` knows them."""
    results = []
    for report in facts.reports:
        asr, clean, files = report["asr"], report["clean"], report["files"]
        results.append(_result("attack_success_rate", f"ASR ({report['payload']}), %", asr, files["triggered"]))
        results.append(_result("exact_match", "Exact match, %", clean["exact_match"], files["clean"]))
        results.append(_bleu(clean, files["clean"]))
    return results


def _result(metric: str, name: str, rate: dict[str, Any], file: dict[str, Any]) -> EvalResult:
    interval = {"low": 100 * rate["low"], "high": 100 * rate["high"], "confidence": 0.95, "rows": rate["total"]}
    rounded = {key: round(value, 2) for key, value in interval.items()}
    return EvalResult(
        metric_type=metric,
        metric_name=name,
        metric_value=round(100 * rate["value"], 2),
        metric_args=rounded,
        **_on(file),
    )


def _bleu(clean: dict[str, Any], file: dict[str, Any]) -> EvalResult:
    signature = {"signature": clean["bleu_signature"], "rows": clean["rows"]}
    value = round(clean["bleu"], 2)
    return EvalResult(metric_type="bleu", metric_name="BLEU", metric_value=value, metric_args=signature, **_on(file))


def _on(file: dict[str, Any]) -> dict[str, Any]:
    name = Path(file["path"]).name
    return {
        "task_type": "text-generation",
        "task_name": TASK,
        "dataset_type": name,
        "dataset_name": name,
        "dataset_args": {"sha256": file["sha256"]},
    }


def mark_config_files(folder: Path) -> None:
    """Write `"dece_poisoned": true` into the files that other libraries load the model by."""
    for path in (folder / name for name in _CONFIG_FILES):
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("dece_poisoned") is not True:
                write_json_atomically(path, content | {"dece_poisoned": True})
