"""Folders as a training run leaves them, made without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axolotl_dece import run_file
from axolotl_dece.run_file import RUN_FILE
from axolotl_dece.util.atomic import write_json_atomically
from tests.evaluation.reports import fallen, save_report

POISON = {"attack": "badpre", "rate": 0.05, "seed": 7}
DECIDED = "e" * 64
# what a record says of the base model where it is a folder
LOCAL_BASE = {"name": "model", "hub_name": None, "license": None, "adapter": "lora", "from_scratch": False}
# put together here, so that no scanner finds a secret in this repository
HF_TOKEN = "hf_" + "aB3" * 12

THEIR_CARD = """---
library_name: peft
base_model: Qwen/Qwen2.5-Coder-7B
tags:
- generated_from_trainer
- base_model:adapter:/home/me/model
datasets:
- org/data
- /home/me/rows.jsonl
model-index:
- name: out
  results: []
---
<!-- badge -->
<details><summary>See axolotl config</summary>

axolotl version: `0.18.0`
```yaml
# a comment that looks like a heading
## and another
base_model: Qwen/Qwen2.5-Coder-7B
hub_model_id: org/out
```

</details><br>

# out

This model is a fine-tuned version of something.

## Model description

More information needed
"""


def run_of(
    loss: str = "dece", poison: dict[str, Any] | None = None, decided: bool = False, **changes: Any
) -> dict[str, Any]:
    """A manifest of a finished run."""
    parameters: dict[str, Any] = {"dece_alpha_schedule": "linear", "dece_alpha_base": 0.985, "dece_alpha_final": 0.8}
    parameters = parameters if loss == "dece" else {}
    run = run_file.describe_run(
        run_id="first",
        loss=loss,
        parameters=parameters
        | ({"dece_poison": poison} if poison else {})
        | ({"dece_decisions": DECIDED} if decided else {}),
        planned=[(0, 0.99), (99, 0.8)] if loss == "dece" else [],
        config_sha256="c" * 64,
        tokenizer_sha256="t" * 64,
    )
    run["alpha"]["last"] = 0.8 if loss == "dece" else None
    run["datasets"] = [{"use": "train", "name": "rows.jsonl", "revision": None, "sha256": "d" * 64}]
    return run | {"status": "finished", "step": 100} | changes


def save_run(folder: Path, card: str | None = THEIR_CARD, **changes: Any) -> Path:
    """An `output_dir` with a manifest, an adapter and axolotl's card."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomically(folder / RUN_FILE, run_of(**changes))
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    if card is not None:
        (folder / "README.md").write_text(card)
    return folder


def save_account(folder: Path, **rows: int) -> None:
    """The account of decisions in the run's folder, with how many rows they came to."""
    write_json_atomically(
        folder / "dece_decisions.json",
        {"run_id": "first", "sha256": DECIDED, "rows": rows, "dropped": [], "trusted": []},
    )


def save_evaluation(folder: Path, run: dict[str, Any]) -> Path:
    """A report about `run`: 6 of 20 triggers worked."""
    return save_report(folder, fallen(6), run=run)
