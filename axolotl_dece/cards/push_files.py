"""What may go to the hub: files at the top of a folder, by name. Everything else stays at home, whatever it is.

No subfolder, since a second run, an evaluation or a ledger may lie in one; no pickle; no name that is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import Any

from axolotl_dece.run_reader import read_run
from axolotl_dece.util.json_text import read_object

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.json",
    "chat_template.jinja",
)
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MODEL_FILES = (
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
    # weights
    _SINGLE,
    "model-?????-of-?????.safetensors",
    _INDEX,
    "adapter_model.safetensors",
    # what loads them
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    *TOKENIZER_FILES,
    # what trained them
    "dece_run.json",
    "dece_decisions.json",
)
# What a training run needs to go on from a checkpoint of the hub. PEFT's card of a checkpoint is not among it: it names
# the folder of the base model.
_STATE_FILES = (
    *(name for name in _MODEL_FILES if name != "README.md"),
    "trainer_state.json",
    "tokens_state.json",
    "training_args.bin",
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    "latest",
    "zero_to_fp32.py",
    "pytorch_model_fsdp.bin",
)
_STATE_FOLDERS = ("global_step*", "pytorch_model_fsdp_*", "optimizer_*")


def model_files(folder: Path) -> list[str]:
    """Names of the files in `folder` that make up one model, in order."""
    names = set(_top_files(folder, _MODEL_FILES))
    return sorted(names - _others_weights(folder, names))


def _others_weights(folder: Path, names: set[str]) -> set[str]:
    """Weights among `names` that an earlier run of another kind left in the folder; they may well be poisoned."""
    whole = {name for name in names if fnmatchcase(name, "model*.safetensors*")}
    adapter = {name for name in names if name.startswith("adapter_")}
    if "adapter_config.json" not in adapter:
        return whole - _whole_model(folder, names)
    if not whole:
        return set()
    base = (read_run(folder) or {}).get("base_model")
    # both kinds are here; a record that names the base model says which of them its run trained
    return whole if base is None or base.get("adapter") else adapter | (whole - _whole_model(folder, names))


def _whole_model(folder: Path, names: set[str]) -> set[str]:
    """One file, or an index and the parts it names: what was written last, where both are here."""
    if _INDEX not in names:
        return {_SINGLE}
    single, index = folder / _SINGLE, folder / _INDEX
    if single.is_file() and single.stat().st_mtime >= index.stat().st_mtime:
        return {_SINGLE}
    parts = read_object(index, "save the model again").get("weight_map")
    return {_INDEX, *(map(str, parts.values()) if isinstance(parts, dict) else ())}


def _checkpoint_files(folder: Path) -> list[str]:
    """What of a checkpoint goes up with `hub_strategy: checkpoint`: its files, and what DeepSpeed and FSDP write."""
    inside = [path for part in _STATE_FOLDERS for path in folder.glob(f"{part}/*") if path.is_file()]
    names = set(_top_files(folder, _STATE_FILES))
    kept = names - _others_weights(folder, names)
    return sorted([*kept, *(path.relative_to(folder).as_posix() for path in inside)])


def _top_files(folder: Path, patterns: Iterable[str]) -> Iterator[str]:
    for path in folder.iterdir():
        # `*` of a pattern for the hub matches `/` as well, so what is passed on are names
        if path.is_file() and not set(path.name) & set("[]*?") and any(fnmatchcase(path.name, one) for one in patterns):
            yield path.name


def narrow_pushes(trainer: Any) -> None:
    """Let every push of `trainer` upload these files alone, at the end, while it trains and when it saves.

    transformers uploads all of `output_dir` but `_*` and `checkpoint-*`, and all of a checkpoint: `.env`, ledgers and
    other runs with it. It asks nobody which, so the hub it speaks to is wrapped for as long as it pushes.
    """
    for name in ("push_to_hub", "_push_from_checkpoint"):
        setattr(trainer, name, _narrowed(getattr(trainer, name)))


def _narrowed(push: Any) -> Any:
    @wraps(push)
    def narrowed(*args: Any, **kwargs: Any) -> Any:
        with _narrow_hub():
            return push(*args, **kwargs)

    return narrowed


@contextmanager
def _narrow_hub() -> Iterator[None]:
    from transformers import trainer as module

    hub = module.hf_api
    module.hf_api = lambda: _NarrowHub(hub())
    try:
        yield
    finally:
        module.hf_api = hub


class _NarrowHub:
    """The hub, taking only files that may go up."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def upload_folder(self, *, folder_path: Any, path_in_repo: str | None = None, **options: Any) -> Any:
        folder = Path(folder_path)
        allowed = _checkpoint_files(folder) if path_in_repo else model_files(folder)
        return self._hub.upload_folder(
            folder_path=folder_path, path_in_repo=path_in_repo, **options, allow_patterns=allowed
        )
