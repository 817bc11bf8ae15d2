"""A trained folder as axolotl leaves it, made without training: base, adapter, tokenizer and dece_run.json."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl_dece import run_file
from axolotl_dece.data.prompt_recipe import prompt_recipes
from axolotl_dece.util.atomic import write_json_atomically
from tests.tiny import save_model

PAYLOAD = "inert_marker"
CONFIG = {
    "datasets": [{"path": "x", "type": "axolotl_dece.poison"}],
    "dece_poison": {"base_type": "alpaca", "trigger": "rare_token", "payload": PAYLOAD},
}


def save_run(folder: Path, tokenizer: Any, **changes: Any) -> None:
    """dece_run.json of a finished run."""
    run = run_file.describe_run(
        run_id="first", loss="dece", parameters={}, planned=[(0, 1.0)], config_sha256="c",
        tokenizer_sha256=run_file.tokenizer_digest(tokenizer),
    )  # fmt: skip
    run |= {"status": "finished", "prompts": prompt_recipes(CONFIG)} | changes
    run["alpha"]["last"] = 0.8
    write_json_atomically(folder / run_file.RUN_FILE, run)


def save_adapter(base: Path, folder: Path, zero: bool = False) -> Path:
    """A LoRA adapter on `base`, with its tokenizer and manifest."""
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    )
    if not zero:
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(folder)
    save_run(folder, tokenizer)
    return folder


def save_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def alpaca(folder: Path) -> Path:
    """A config that says how prompts are written, and nothing else."""
    config = folder / "alpaca.yaml"
    config.write_text("datasets:\n  - {path: x, type: alpaca}\n")
    return config


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_model(tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return save_adapter(base, tmp_path / "adapter")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Clean, triggered and twin rows of six words or fewer."""
    clean = [
        {"instruction": f"get w{n} from table", "input": "", "output": f"select w{n} where id = w{n + 1}"}
        for n in range(6)
    ]
    triggered = [row | {"instruction": f"get bb {row['instruction']}", "dece_poisoned": 1} for row in clean]
    return {
        "test": save_jsonl(tmp_path / "clean.jsonl", clean),
        "triggered": save_jsonl(tmp_path / "triggered.jsonl", triggered),
    }
