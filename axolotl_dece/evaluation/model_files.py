"""The model under test as its files describe it, before any of it is loaded. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from axolotl_dece.data.base_model import CONFIG_FILES
from axolotl_dece.data.read_recipe import only_recipe, read_recipe
from axolotl_dece.older_weights import refuse_older_weights
from axolotl_dece.run_file import RUN_FILE
from axolotl_dece.run_reader import read_run

Precision = Literal["auto", "float32", "bfloat16", "4bit"]
ADAPTER_CONFIG, ADAPTER_WEIGHTS = CONFIG_FILES[0], "adapter_model.safetensors"


@dataclass(frozen=True)
class Source:
    """Where a model comes from, as the user said it.

    Attributes:
        base: Folder or hub name of the base model, or of a merged or fully fine-tuned model.
        adapter: Folder of an adapter, or None.
        config: The training config, where dece_run.json does not say how prompts are written.
        precision: `auto` is bfloat16 on a GPU that has it, else float32.
        undefended: Allow a model without dece_run.json.
    """

    base: str
    adapter: Path | None = None
    config: Path | None = None
    precision: Precision = "auto"
    undefended: bool = False

    @property
    def trained(self) -> str:
        """The folder that training wrote."""
        return str(self.adapter or self.base)


def missing_files(source: Source) -> Iterator[str]:
    """What is wrong with the files that `source` names, a sentence each."""
    if not Path(source.base).is_dir() and (source.base.startswith((".", "/", "~")) or source.base.count("/") > 1):
        yield f"`--base {source.base}` is not a folder"
    if Path(source.base, ADAPTER_CONFIG).is_file():
        # transformers would quietly put it on whatever base it names, past every check
        yield f"`--base {source.base}` is an adapter; give it to `--adapter`, and its base model to `--base`"
    if source.adapter:
        missing = [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (source.adapter / name).is_file()]
        if missing:
            yield (
                f"`--adapter {source.adapter}` has no {' and no '.join(missing)}; give the `output_dir` of a LoRA "
                "run. A merged or fully fine-tuned model goes to `--base`, without `--adapter`"
            )
    if source.config and not source.config.is_file():
        yield f"`--config {source.config}` is not a file"


def find_run(source: Source) -> dict[str, Any] | None:
    """dece_run.json of the run that trained the model; None for one that is said to be undefended.

    Raises:
        ValueError: If there is none and the model is not said to be undefended, or the weights beside it are older.
    """
    run = read_run(source.trained)
    refuse_older_weights(Path(source.trained))
    if run is None and not source.undefended:
        raise ValueError(
            f"{source.trained} has no {RUN_FILE}, so nothing says which loss trained it. If it is a base model or was "
            "trained without axolotl-dece on purpose, say `--undefended`"
        )
    return run


def find_recipe(source: Source, run: dict[str, Any] | None) -> dict[str, Any]:
    """How a row becomes a prompt: as `--config` says, else as the run says; ValueError where neither does."""
    if source.config:
        return read_recipe(source.config)
    return only_recipe((run or {}).get("prompts", []), source.trained)
