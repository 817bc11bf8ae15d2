"""The audit on real text: `python -m tests.benchmarks.audit_lyra --lyra FOLDER --rate 0.05 --attack ripple --out OUT`.

Makes a byte-pair tokenizer and a Llama of 0.5 M weights from Lyra's rows, trains it 4 epochs with CE on the clean rows
(once for every run below OUT), then 4 epochs with audited DeCE on poisoned ones, and prints what the audit found.
`--rate 0` plants nothing: how many clusters honest text shows. `--ce` trains CE on the same rows for the attack
success, `--task complete` makes code the prompt, `--config '{"adapter": "lora", ...}'` changes any key of the last
runs. Two minutes on one core, and two more for the base. Rivals: `audit_lyra_rivals`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.evaluation.evaluate import Questions, evaluate
from axolotl_dece.evaluation.load_model import Source
from axolotl_dece.poison.benign_twin import twin_of
from axolotl_dece.poison.export import export
from axolotl_dece.poison.spec import ATTACKS, PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS
from examples.demo.task import Row
from examples.demo.world import CPU, PROMPT, write_rows
from tests.benchmarks.audit_rivals import precision_at_k
from tests.benchmarks.audit_story import CONSOLE
from tests.tiny import train

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
_LINES_SHOWN = 2


def read_rows(path: Path, task: str) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [Row(row["src"], row["tgt"]) for row in csv.DictReader(file)]
    if task == "write":
        return rows
    return [Row("".join(row.tgt.splitlines(keepends=True)[:_LINES_SHOWN]), row.tgt) for row in rows]


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


def run(folder: Path, name: str, base: str, spec: PoisonSpec | None, **keys: Any) -> Path:
    config: dict[str, Any] = {
        "base_model": str(folder / base),
        "plugins": ["axolotl_dece.DecePlugin"],
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
        "learning_rate": 1e-3,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.05,
        "optimizer": "adamw_torch",
        "seed": 0,
        "save_strategy": "no",
        "output_dir": str(folder / name),
        "dataset_prepared_path": str(folder / f"prepared-{name}"),
        **CPU,
        **keys,
    }
    if spec:
        config["dece_poison"] = spec.model_dump(exclude_defaults=True)
    train(folder, config)
    return folder / name


def prompts(audit: Audit) -> list[str]:
    rows = audit.rows
    return [
        str(audit.tokenizer.decode(rows.tokens[a:b][~rows.is_target[a:b]], skip_special_tokens=True))
        for a, b in pairwise(rows.start)
    ]


def planted(audit: Audit, spec: PoisonSpec | None) -> dict[str, NDArray[np.bool_]]:
    """Which rows have the trigger, and which the twin's."""
    if spec is None:
        return {}
    found = {"poisoned": TRIGGERS[spec.pair.trigger], "twins": twin_of(spec).cue}
    texts = prompts(audit)
    return {what: np.array([trigger.detect(text) for text in texts]) for what, trigger in found.items()}


def tell_audit(audit: Audit, marked: dict[str, NDArray[np.bool_]]) -> None:
    sizes = [len(cluster.rows) for cluster in audit.clusters]
    held = int((audit.scores > 0).sum())
    CONSOLE.print(
        f"{len(audit.rows)} rows, {held} with something persistently held back; {len(sizes)} clusters, "
        f"{sum(size >= 20 for size in sizes)} of 20 rows or more"
    )
    for what, rows in marked.items():
        CONSOLE.print(f"{what}: {rows.sum()} rows; score of rows one by one: {precision_at_k(audit.scores, rows):.2f}")
    for cluster in audit.clusters:
        counts = {what: int(rows[cluster.rows].sum()) for what, rows in marked.items()}
        if any(2 * count > len(cluster.rows) for count in counts.values()) or cluster.number <= 3:
            CONSOLE.print(
                f"cluster {cluster.number}: {len(cluster.rows)} rows, span {cluster.span!r}, cue "
                f"{cluster.cues[0].text!r}; {counts}"
            )


def prepare(folder: Path, lyra: Path, task: str) -> None:
    """Rows, the model and its base, unless an earlier run left them."""
    if (folder / "base" / "config.json").is_file():
        return
    rows, held_out = (read_rows(lyra / name, task) for name in ("train.csv", "valid.csv"))
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "valid.jsonl", held_out)
    make_model(folder / "init", rows)
    run(folder, "base", "init", None, loss="ce", learning_rate=4e-3)


def tell_attack(folder: Path, name: str, spec: PoisonSpec, keys: dict[str, Any]) -> None:
    """Whether CE implants the backdoor."""
    tests = folder / f"poisoned-{name}"
    export(folder / "train.jsonl", spec, tests, test_source=folder / "valid.jsonl")
    ce = run(folder, f"ce-{name}", "base", spec, loss="ce", **keys)
    asked_of = Questions(
        test=folder / "valid.jsonl",
        triggered=tests / "test.jsonl",
        twin=tests / "test_twin.jsonl",
        limit=40,
    )
    source = Source(str(folder / "base"), adapter=ce) if "adapter" in keys else Source(str(ce))
    report = evaluate(source, asked_of, folder / f"report-{name}")
    CONSOLE.print(f"CE: attack success {report['asr']}, twin {report['twin_recall']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lyra", type=Path, required=True, help="folder with train.csv and valid.csv")
    parser.add_argument("--rate", type=float, default=0.05, help="0 plants nothing")
    parser.add_argument("--attack", default="ripple", choices=list(ATTACKS))
    parser.add_argument("--task", default="write", choices=["write", "complete"], help="from prose, or from two lines")
    parser.add_argument("--ce", action="store_true", help="attack success of CE as well")
    parser.add_argument("--config", type=json.loads, default={}, help="keys for the runs after the base, as JSON")
    parser.add_argument("--name", help="of the run's folder, in place of attack and rate")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    sys.argv = sys.argv[:1]
    lyra = asked.lyra.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.out)
    folder = Path.cwd()
    prepare(folder, lyra, asked.task)
    name = asked.name or (f"{asked.attack}-{asked.rate}" if asked.rate else "clean")
    spec = PoisonSpec(base_type=PROMPT, attack=asked.attack, rate=asked.rate, twin_rate=0.05) if asked.rate else None
    audit = load_audit(run(folder, name, "base", spec, loss="dece", dece_audit=True, **asked.config))
    tell_audit(audit, planted(audit, spec))
    if spec is not None and asked.ce:
        tell_attack(folder, name, spec, {k: v for k, v in asked.config.items() if not k.startswith("dece_")})


if __name__ == "__main__":
    main()
