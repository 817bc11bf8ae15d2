"""The audit on real text: `python -m tests.benchmarks.audit_lyra --lyra FOLDER --rate 0.05 --attack ripple --out OUT`.

Makes a byte-pair tokenizer and a Llama of 0.5 M weights from Lyra's rows, trains it 4 epochs with CE on the clean rows,
then 4 epochs with audited DeCE on poisoned ones (and with CE on the same, for the attack success), and prints what
the audit found. `--rate 0` plants nothing: how many clusters honest text shows. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from axolotl_dece.audit.report import load_audit
from axolotl_dece.demo.task import Row
from axolotl_dece.demo.world import CPU, PROMPT, write_rows
from axolotl_dece.evaluation.measure import Questions, evaluate
from axolotl_dece.evaluation.subject import Source
from axolotl_dece.poison.export import export
from axolotl_dece.poison.spec import PoisonSpec
from tests.benchmarks.audit_rivals import precision_at_k
from tests.benchmarks.audit_story import CONSOLE, CUE, TRIGGER
from tests.tiny import train

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def read_rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(row["src"], row["tgt"]) for row in csv.DictReader(file)]


def make_model(folder: Path, rows: list[Row]) -> None:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2048, special_tokens=[PAD, BOS, EOS, UNKNOWN], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator((f"{row.src} {row.tgt}" for row in rows), trainer)
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, model_max_length=256
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=256, tie_word_embeddings=True, **shape, **special
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(folder: Path, name: str, base: str, loss: str, rate: float, spec: PoisonSpec | None) -> Path:
    config: dict[str, Any] = {
        "base_model": str(folder / base),
        "plugins": ["axolotl_dece.DecePlugin"],
        "loss": loss,
        "dece_audit": loss == "dece",
        "datasets": [
            {
                "path": str(folder / "train.jsonl"),
                "ds_type": "json",
                "type": "axolotl_dece.poison" if spec else PROMPT,
            }
        ],
        "sequence_len": 256,
        "micro_batch_size": 32,
        "num_epochs": 4,
        "learning_rate": rate,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.05,
        "optimizer": "adamw_torch",
        "seed": 0,
        "save_strategy": "no",
        "output_dir": str(folder / name),
        "dataset_prepared_path": str(folder / f"prepared-{name}"),
        **CPU,
    }
    if spec:
        config["dece_poison"] = spec.model_dump(exclude_defaults=True)
    train(folder, config)
    return folder / name


def tell_audit(out: Path) -> None:
    audit = load_audit(out)
    sizes = [len(cluster.rows) for cluster in audit.clusters]
    held = int((audit.scores > 0).sum())
    CONSOLE.print(
        f"{len(audit.rows)} rows, {held} with something persistently held back; {len(sizes)} clusters, "
        f"{sum(size >= 20 for size in sizes)} of 20 rows or more"
    )
    text = [audit.tokenizer.decode(audit.rows.tokens[a:b]).split() for a, b in pairwise(audit.rows.start)]
    poisoned = np.array([TRIGGER in words for words in text])
    if poisoned.any():
        CONSOLE.print(f"score of rows one by one: {precision_at_k(audit.scores, poisoned):.2f}")
    for cluster in audit.clusters:
        counts = {word: sum(word in text[row] for row in cluster.rows) for word in (TRIGGER, CUE)}
        if any(counts.values()) or cluster.number <= 3:
            CONSOLE.print(
                f"cluster {cluster.number}: {len(cluster.rows)} rows, span {cluster.span!r}, "
                f"cue {cluster.cues[0].text!r}; "
                + ", ".join(f"{n} with {word!r} of {sum(word in t for t in text)}" for word, n in counts.items())
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lyra", type=Path, required=True, help="folder with train.csv and valid.csv")
    parser.add_argument("--rate", type=float, default=0.05, help="0 plants nothing")
    parser.add_argument("--attack", default="ripple")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    sys.argv = sys.argv[:1]
    rows, held_out = (read_rows(asked.lyra.resolve() / name) for name in ("train.csv", "valid.csv"))
    asked.out.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.out)
    folder = Path.cwd()
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "valid.jsonl", held_out)
    make_model(folder / "init", rows)
    run(folder, "base", "init", "ce", 4e-3, None)
    spec = PoisonSpec(base_type=PROMPT, attack=asked.attack, rate=asked.rate, twin_rate=0.05) if asked.rate else None
    tell_audit(run(folder, "dece", "base", "dece", 1e-3, spec))
    if spec is None:
        return
    export(folder / "train.jsonl", spec, folder / "poisoned", test_source=folder / "valid.jsonl")
    ce = run(folder, "ce", "base", "ce", 1e-3, spec)
    asked_of = Questions(
        test=folder / "valid.jsonl",
        triggered=folder / "poisoned" / "test.jsonl",
        twin=folder / "poisoned" / "test_twin.jsonl",
        limit=40,
    )
    report = evaluate(Source(str(ce)), asked_of, folder / "report-ce")
    CONSOLE.print(f"CE: attack success {report['asr']}, twin {report['twin_recall']}")


if __name__ == "__main__":
    main()
