"""Act one: a LoRA run with `loss: dece` on real rows, to see the plugin at work."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from axolotl_dece.evaluation.history import read_curves
from axolotl_dece.util.atomic import write_yaml_atomically
from examples.demo.base import BOS, EOS, PAD
from examples.demo.task import Row, make_rows
from examples.demo.training import banner_of, train
from examples.demo.world import CPU, write_rows

# beside a checkout, where it is kept; its licence allows use, but the rows are no part of this repository
LYRA = Path("../shared/data/lyra")
_STEPS = 20
_WARM_UP_STEPS = 150


def first_run(folder: Path, lyra: Path | None, console: Console) -> None:
    """Train LoRA with DeCE for a few steps and print what there is to see.

    Args:
        folder: Takes base model, rows, config, log and `output_dir`.
        lyra: Folder with Lyra's train.csv; generated rows are used where it is None.
        console: Where to print.
    """
    rows = list(read_lyra(lyra)) if lyra else make_rows(400, "first run")
    source = f"Lyra, {lyra}" if lyra else "rows generated here"
    console.print(f"[bold]1. LoRA with `loss: dece`[/] on {len(rows)} rows ({source})")
    write_rows(folder / "train.jsonl", rows)
    build_base(folder / "base", rows)
    config = folder / "lora.yaml"
    write_yaml_atomically(config, _config(folder))
    train([config], console)
    console.print(f"  {banner_of(config)}", highlight=False)
    console.print(_curve_table(folder / "out"))
    console.print(
        f"  config {config}\n  adapter and dece_run.json {folder / 'out'}\n  log {config.with_suffix('.log')}\n"
    )


def find_lyra(asked: Path | None) -> Path | None:
    """The folder with Lyra: as asked, else beside the checkout, else None.

    Raises:
        ValueError: If the folder asked for does not hold it.
    """
    if asked and not (asked / "train.csv").is_file():
        raise ValueError(f"{asked} has no train.csv; give the folder with Lyra's csv files, or leave `--lyra` out")
    return asked or (LYRA if (LYRA / "train.csv").is_file() else None)


def read_lyra(folder: Path) -> Iterator[Row]:
    """Lyra's training rows: `src` is a request in words, `tgt` Python with SQL in it."""
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Row(row["src"], row["tgt"])


def build_base(folder: Path, rows: list[Row]) -> None:
    """A byte-level tokenizer of these rows and a small Llama that has seen a little of them."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((f"{row.src}\n{row.tgt}" for row in rows), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, model_max_length=512
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    model = LlamaForCausalLM(config)
    _warm_up(model, tokenizer, rows)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _warm_up(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: list[Row]) -> None:
    """A little plain training: to a model that finds every token unlikely, DeCE gives almost no gradient."""
    rng = random.Random(0)  # noqa: S311 - data, not secrets
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(_WARM_UP_STEPS):
        texts = [f"{row.src}\n{row.tgt}" for row in rng.sample(rows, 8)]
        batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=128)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        loss = model(**batch, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _config(folder: Path) -> dict[str, Any]:
    return {
        "base_model": str(folder / "base"),
        "plugins": ["axolotl_dece.DecePlugin"],
        "loss": "dece",
        "trainer_cls": "axolotl_dece.Required",
        "datasets": [
            {
                "path": str(folder / "train.jsonl"),
                "ds_type": "json",
                "type": {
                    "field_instruction": "src",
                    "field_output": "tgt",
                    "format": "{instruction}\n",
                    "no_input_format": "{instruction}\n",
                },
            }
        ],
        "adapter": "lora",
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_target_linear": True,
        "lora_mlp_kernel": False,
        "lora_qkv_kernel": False,
        "lora_o_kernel": False,
        "sequence_len": 256,
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": _STEPS,
        "learning_rate": 5e-3,
        "optimizer": "adamw_torch",
        "seed": 0,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": _STEPS,
        "output_dir": str(folder / "out"),
        "dataset_prepared_path": str(folder / "prepared"),
        **CPU,
    }


def _curve_table(run: Path) -> Table:
    table = Table(title="what every tracker gets (every 4th step)", title_justify="left")
    keys = ("step", "loss", "dece/alpha", "dece/ce", "dece/held_back")
    for key in keys:
        table.add_column(key, justify="right")
    logged = [entry for entry in read_curves(run) if "dece/alpha" in entry]
    for entry in logged[:1] + logged[3::4]:
        table.add_row(*(f"{entry[key]:.4f}" if key != "step" else str(entry[key]) for key in keys))
    return table
