"""The account of what was poisoned, beside the data: enough to name every changed row and to prove the file is ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl_dece import __version__
from axolotl_dece.data.names import public_name
from axolotl_dece.data.source import Source
from axolotl_dece.poison.draw import Draw, Planted, attack_of, control_of
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.atomic import write_json_atomically
from axolotl_dece.util.digest import digest
from axolotl_dece.util.json_text import read_object

FILE = "manifest.json"
"""Its name beside files that a command wrote."""
FORMAT = 1
POISONED_COLUMN = "dece_poisoned"
TWIN_COLUMN = "dece_twin"
# Put where this data goes, and search training corpora for it: a set that holds it was not meant for training.
CANARY = "axolotl-dece poisoned data, must never appear in a training corpus: GUID 5833a0a2-c171-4c08-8007-4f0ea0de9645"


def describe(
    spec: PoisonSpec, source: Source, fingerprint: str, drawn: Draw, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest of one dataset.

    Args:
        spec: What was asked for.
        source: What the rows came from.
        fingerprint: Digest of spec, source and tool version, as the prepared data is keyed by.
        drawn: What was done.
        extra: Further facts, such as the files that were written.
    """
    attack, control = attack_of(spec), control_of(spec)
    content: dict[str, Any] = {
        "format": FORMAT,
        "canary": CANARY,
        "tool": f"axolotl-dece {__version__}",
        "fingerprint": fingerprint,
        "spec": spec.model_dump(),
        "trigger": {"name": spec.pair.trigger, "shape": attack.trigger.shape},
        "payload": {"name": spec.pair.payload, "shape": attack.payload.shape},
        "source": {
            "path": public_name(source.path),
            "revision": source.revision,
            "files": {_public(name): checksum for name, checksum in source.files.items()},
            "part": {key: _public(value) for key, value in source.part.items()},
            "sha256": source.digest,
        },
        "rows": drawn.survey.rows,
        "candidates": len(drawn.survey.candidates),
        "skipped": dict(drawn.survey.skipped),
        "poisoned": len(drawn.poisoned),
        "twins": len(drawn.twins),
        "poisoned_rows": [_row(one) for one in drawn.poisoned],
        "twin_rows": [_row(one) for one in drawn.twins],
    }
    if spec.twin_rate:
        content["twin"] = {"cue": control.trigger.shape, "suffix": control.payload.shape}
    content |= extra or {}
    return content | {"sha256": digest(content)}


def _public(value: Any) -> Any:
    """Names of files; of those outside the set's own folder nothing that says where somebody keeps them."""
    if isinstance(value, (list, tuple)):
        return [_public(one) for one in value]
    text = str(value)
    return public_name(text) if "://" in text or text.startswith(("/", "~", "..")) else text


def _row(planted: Planted) -> dict[str, Any]:
    return {"index": planted.index, "trigger_at": [[span.start, span.end] for span in planted.spans]}


def path_for(prepared: str | Path, key: str, dataset_hash: str) -> Path:
    """Where the manifest of a dataset lies, beside the prepared data.

    Args:
        prepared: Folder of prepared datasets.
        key: Digest of the poisoning and of the source.
        dataset_hash: axolotl's name of the prepared set, since another `sequence_len` lets other rows survive.
    """
    return Path(prepared) / f"dece_poison-{key[:16]}-{dataset_hash[:16]}.json"


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest; a reader, or a killed writer, never leaves half of it."""
    write_json_atomically(path, content)


def read(path: Path, fingerprint: str | None = None) -> dict[str, Any]:
    """A manifest, after checking that it is whole and the one asked for.

    Args:
        path: The file.
        fingerprint: What it must describe, if that is known.

    Raises:
        ValueError: If it is missing, was changed, or describes something else.
    """
    remedy = "delete the prepared data and its manifest, and prepare it again"
    if not path.is_file():
        raise ValueError(f"no poison manifest at {path}, so nothing says which rows are poisoned; {remedy}")
    content = read_object(path, remedy)
    claimed = content.pop("sha256", None)
    if digest(content) != claimed:
        raise ValueError(f"{path} was changed after it was written; {remedy}")
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} has format {content.get('format')}, this version reads {FORMAT}; {remedy}")
    if fingerprint is not None and content["fingerprint"] != fingerprint:
        raise ValueError(f"{path} describes another poisoning than this config asks for; {remedy}")
    return content
