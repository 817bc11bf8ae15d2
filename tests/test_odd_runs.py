"""Runs at the edge of what a config can ask for: of one step, over too soon, with nothing to learn, padded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from axolotl_dece.audit.analyse.ledger_reader import read_audit
from tests.tiny import VOCAB, base_config, logs, save_model, save_rows, train

pytestmark = pytest.mark.slow


def record(workspace: Path) -> dict[str, Any]:
    return dict(json.loads((workspace / "out" / "dece_run.json").read_text()))


@pytest.mark.parametrize(("schedule", "last"), [("epoch", 0.95), ("linear", 0.8)])
def test_a_run_of_one_step_ends_where_its_schedule_does(workspace: Path, schedule: str, last: float) -> None:
    trainer = train(workspace, base_config(workspace, max_steps=1, dece_alpha_schedule=schedule, dece_audit=True))
    assert logs(trainer, "dece/alpha") == pytest.approx([last])
    assert record(workspace)["alpha"]["last"] == pytest.approx(last)
    assert read_audit(workspace / "out").visits.sum() == 2


def test_a_run_that_stops_early_is_finished_at_the_step_where_it_stopped(workspace: Path) -> None:
    save_rows(workspace / "eval.jsonl", count=4, seed=1)
    trainer = train(
        workspace,
        base_config(
            workspace, learning_rate=0.0, num_epochs=3, early_stopping_patience=1, dece_audit=True,
            eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2, load_best_model_at_end=True,
            test_datasets=[{"path": "eval.jsonl", "ds_type": "json", "type": "alpaca", "split": "train"}],
        ),
    )  # fmt: skip
    assert trainer.state.global_step < 48
    run = record(workspace)
    assert (run["status"], run["step"]) == ("finished", trainer.state.global_step)
    assert run["alpha"]["last"] == pytest.approx(logs(trainer, "dece/alpha")[-1])
    assert read_audit(workspace / "out").facts["steps"] == run["step"]


def test_a_run_that_is_resumed_with_more_epochs_goes_on_with_the_ledger(workspace: Path) -> None:
    config = base_config(workspace, save_strategy="epoch", num_epochs=1, dece_audit=True, save_total_limit=9)
    train(workspace, config)
    trainer = train(workspace, config | {"num_epochs": 2, "auto_resume_from_checkpoints": True})
    assert trainer.state.global_step == 32
    assert read_audit(workspace / "out").visits.tolist() == [2] * 32


def test_steps_without_a_single_target_token_change_nothing_and_are_counted_as_none(workspace: Path) -> None:
    rows = [
        {"segments": [{"label": False, "text": "get all rows"}, {"label": at >= 6, "text": " select"}]}
        for at in range(8)
    ]
    (workspace / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = [{"path": "rows.jsonl", "type": "input_output", "ds_type": "json"}]
    config = base_config(workspace, datasets=dataset, num_epochs=2, dece_audit=True)
    trainer = train(workspace, config)
    assert all(math.isfinite(value) for value in logs(trainer, "loss"))
    assert record(workspace)["status"] == "finished"
    rows_read = read_audit(workspace / "out")
    assert (rows_read.visits > 0).sum() >= 1


@pytest.mark.parametrize("fused", [True, False])
def test_a_tokenizer_that_pads_with_its_end_and_a_head_beyond_the_vocabulary_train_as_others_do(
    workspace: Path, fused: bool
) -> None:
    save_model(workspace / "model", vocab_size=len(VOCAB) + 77)
    tokenizer = AutoTokenizer.from_pretrained(workspace / "model")
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(workspace / "model")
    config = base_config(workspace, num_epochs=2, dece_audit=True, dece_fused_head=fused)
    trainer = train(workspace, config)
    assert all(math.isfinite(value) for value in logs(trainer, "dece/ce"))
    rows = read_audit(workspace / "out")
    assert rows.visits.tolist() == [2] * 32
    ends = [rows.tokens[end - 1] == tokenizer.eos_token_id and rows.is_target[end - 1] for end in rows.start[1:]]
    assert all(ends), "the end of an answer is learned, though padding looks like it"
