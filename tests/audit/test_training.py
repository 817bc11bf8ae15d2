"""Real axolotl runs: the ledger finds every row through shuffling, packing, accumulation, ranks and resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from axolotl_dece.audit import ACCOUNT_FILE, LEDGER_FILE
from axolotl_dece.audit.analyse.ledger_reader import AuditRows, read_audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.audit.record.ledger_keeper import LedgerKeeper
from tests.distributed.processes import run_pair
from tests.tiny import LORA, base_config, save_model, save_rows, train

pytestmark = pytest.mark.slow

AUDIT: dict[str, Any] = {"dece_audit": True, "num_epochs": 3, "dece_alpha_schedule": "constant", "dece_alpha": 0.9}
PACKED = {"sample_packing": True, "attn_implementation": "sdpa", "pad_to_sequence_len": True, "sequence_len": 256}


def audited(workspace: Path, **changes: Any) -> AuditRows:
    train(workspace, base_config(workspace, **AUDIT | changes))
    return read_audit(workspace / "out")


@pytest.mark.parametrize("keeps_a_ledger", [True, False])
def test_the_end_of_a_run_says_what_comes_next_and_nothing_that_cannot(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, keeps_a_ledger: bool
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("axolotl_dece.plugin.LOG.info", lambda text, *values: heard.append(text % values))
    train(workspace, base_config(workspace, dece_audit=keeps_a_ledger, max_steps=2))
    said = [text for text in heard if text.startswith("DeCE, next: ")]
    out = workspace / "out"
    assert said[-1] == f"DeCE, next: `axolotl dece card {out}` writes the card again, with `--report` what was measured"
    assert len(said) == 1 + keeps_a_ledger
    assert not keeps_a_ledger or f"`axolotl dece audit {out}`" in said[0]


@pytest.mark.parametrize(
    "changes",
    [{"gradient_accumulation_steps": 4}, PACKED, {"dece_fused_head": False} | LORA, {"loss": "gce"}],
    ids=["accumulated", "packed", "logits, lora", "gce"],
)
def test_every_row_is_entered_once_per_epoch(workspace: Path, changes: dict[str, Any]) -> None:
    rows = audited(workspace, **changes)
    assert len(rows) == 32
    if "sample_packing" in changes:
        # axolotl leaves out bins that do not fill a batch
        assert rows.visits.max() == 3
        assert np.mean(rows.visits) > 2
    else:
        assert rows.visits.tolist() == [3] * 32
    seen = rows.visits > 0
    shares = rows.shares[:, rows.is_target & np.repeat(seen, np.diff(rows.start))]
    assert shares.min() >= 0.0
    assert shares.mean() > 0.3


def test_both_heads_keep_the_same_ledger(workspace: Path) -> None:
    one = audited(workspace, dece_fused_head=True, learning_rate=1e-9, num_epochs=1)
    other = audited(workspace, dece_fused_head=False, learning_rate=1e-9, num_epochs=1)
    assert one.ids == other.ids
    np.testing.assert_allclose(one.shares, other.shares, atol=1.01 / 255)


def test_how_the_batch_is_split_does_not_matter(workspace: Path) -> None:
    whole = audited(workspace, micro_batch_size=4, learning_rate=1e-9, num_epochs=1)
    split = audited(workspace, micro_batch_size=1, gradient_accumulation_steps=4, learning_rate=1e-9, num_epochs=1)
    assert whole.ids == split.ids
    np.testing.assert_allclose(whole.shares, split.shares, atol=1.01 / 255)


def test_a_resumed_run_has_the_ledger_of_an_uninterrupted_one(workspace: Path) -> None:
    steps = {"save_strategy": "steps", "save_steps": 20}
    whole = audited(workspace, **steps)
    for folder in ("checkpoint-40", "checkpoint-48"):
        shutil.rmtree(workspace / "out" / folder)
    (workspace / "out" / LEDGER_FILE).unlink()
    resumed = audited(workspace, **steps, resume_from_checkpoint=str(workspace / "out" / "checkpoint-20"))
    assert resumed.ids == whole.ids
    assert resumed.visits.tolist() == whole.visits.tolist() == [3] * 32
    np.testing.assert_array_equal(resumed.held, whole.held)
    np.testing.assert_array_equal(resumed.shares, whole.shares)


def test_resuming_on_changed_rows_is_refused(workspace: Path) -> None:
    steps = {"save_strategy": "steps", "save_steps": 20}
    audited(workspace, **steps)
    save_rows(workspace / "rows.jsonl", seed=1)
    with pytest.raises(ValueError, match="ledger of another training set"):
        audited(
            workspace,
            **steps,
            resume_from_checkpoint=str(workspace / "out" / "checkpoint-20"),
            dataset_prepared_path=str(workspace / "anew"),
        )


@pytest.mark.parametrize("loss", ["dece", "gce"])
def test_decisions_drop_and_trust_rows_and_say_so(workspace: Path, loss: str) -> None:
    before = audited(workspace, loss=loss)
    lines = [{"row": one, "decision": "drop"} for one in before.ids[:8]]
    lines += [{"row": one, "decision": "trust"} for one in before.ids[8:16]]
    write_decisions(workspace / "decisions.jsonl", lines)
    trainer_rows = audited(workspace, loss=loss, dece_decisions="decisions.jsonl", dece_label_smoothing=0.0)
    assert set(trainer_rows.ids) == set(before.ids[8:])
    row_of = trainer_rows.row_of
    for at, one in enumerate(trainer_rows.ids):
        shares = trainer_rows.shares[:, trainer_rows.is_target & (row_of == at)]
        trusted = one in before.ids[8:16]
        assert bool(shares.max() == 0.0) is trusted
    account = json.loads((workspace / "out" / "dece_decisions.json").read_text())
    assert (account["dropped"], account["trusted"]) == (sorted(before.ids[:8]), sorted(before.ids[8:16]))
    run = json.loads((workspace / "out" / "dece_run.json").read_text())
    assert run["parameters"]["dece_decisions"] == account["sha256"]
    assert run["step"] == 36


def test_a_run_goes_on_from_the_adapter_of_another_without_the_rows_that_were_dropped(workspace: Path) -> None:
    """docs/audit.md, Decide half-way: the first run defends, a person decides, the second is cross-entropy."""
    rows = audited(workspace, num_epochs=1, **LORA)
    write_decisions(workspace / "decisions.jsonl", [{"row": one, "decision": "drop"} for one in rows.ids[:8]])
    second = {"lora_model_dir": str(workspace / "out"), "output_dir": str(workspace / "second"), "learning_rate": 1e-12}
    decided = {"loss": "ce", "num_epochs": 1, "dece_decisions": "decisions.jsonl"}
    trainer = train(workspace, base_config(workspace, **LORA | decided | second))
    assert trainer.state.max_steps == 12
    before, after = (load_file(workspace / folder / "adapter_model.safetensors") for folder in ("out", "second"))
    assert max(float(weights.abs().max()) for name, weights in before.items() if "lora_B" in name) > 1e-3
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights, rtol=0, atol=1e-6)


def test_of_the_rows_that_decisions_drop_the_planted_ones_are_counted(workspace: Path) -> None:
    whole = audited(workspace, max_steps=1)
    plain = {row: whole.tokens[whole.start[at] : whole.start[at + 1]].tolist() for at, row in enumerate(whole.index)}
    poison = {
        "datasets": [{"path": str(workspace / "rows.jsonl"), "type": "axolotl_dece.poison", "ds_type": "json"}],
        "dece_poison": {"base_type": "alpaca", "trigger": "rare_token", "payload": "inert_marker", "rate": 0.25},
        "max_steps": 1,
    }
    rows = audited(workspace, **poison)
    changed = [
        at
        for at, row in enumerate(rows.index)
        if rows.tokens[rows.start[at] : rows.start[at + 1]].tolist() != plain[row]
    ]
    honest = [at for at in range(len(rows)) if at not in changed]
    drop = [*changed[:3], *honest[:2]]
    write_decisions(workspace / "d.jsonl", [{"row": rows.ids[at], "decision": "drop"} for at in drop])
    decided = {"dece_decisions": str(workspace / "d.jsonl"), "output_dir": str(workspace / "decided")}
    train(workspace, base_config(workspace, **poison | decided))
    account = json.loads((workspace / "decided" / ACCOUNT_FILE).read_text())["rows"]
    assert account == {"before": 32, "dropped": 5, "trusted": 0, "planted": len(changed), "planted_dropped": 3}


def test_whatever_a_run_writes_carries_its_id_which_only_a_resumed_run_keeps(workspace: Path) -> None:
    rows = audited(workspace, save_strategy="steps", save_steps=20)
    write_decisions(workspace / "decisions.jsonl", [{"row": rows.ids[0], "decision": "drop"}])
    out, config = workspace / "out", base_config(workspace, **AUDIT, save_strategy="steps", save_steps=20)
    first = read_id(out)
    resumed = {"resume_from_checkpoint": str(out / "checkpoint-20")}
    assert first
    assert first == read_id(out / "checkpoint-20") == rows.facts["run_id"]
    train(workspace, config | resumed)
    assert first == read_id(out) == read_audit(out).facts["run_id"]
    train(workspace, config | {"dece_decisions": "decisions.jsonl"})
    second = read_id(out)
    assert second not in {"", first}
    assert second == read_audit(out).facts["run_id"]
    assert second == json.loads((out / "dece_decisions.json").read_text())["run_id"]


def read_id(folder: Path) -> str:
    return str(json.loads((folder / "dece_run.json").read_text())["run_id"])


def test_trusting_everything_is_smoothed_cross_entropy(workspace: Path) -> None:
    before = audited(workspace, num_epochs=1)
    write_decisions(workspace / "decisions.jsonl", [{"row": one, "decision": "trust"} for one in before.ids])
    plain = {"num_epochs": 1, "dece_label_smoothing": 0.0, "dece_prob_floor": 0.0, "dece_audit": False}
    trusted = train(workspace, base_config(workspace, **AUDIT | plain, dece_decisions="decisions.jsonl"))
    ce = train(workspace, base_config(workspace, loss="ce", num_epochs=1))
    for mine, theirs in zip(trusted.model.parameters(), ce.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_without_the_key_nothing_is_watched(workspace: Path) -> None:
    trainer = train(workspace, base_config(workspace))
    assert not any(isinstance(one, LedgerKeeper) for one in trainer.callback_handler.callbacks)
    assert not (workspace / "out" / LEDGER_FILE).exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "ce", "dece_audit": True}, "cross-entropy holds nothing back"),
        ({"dece_audit": True, "streaming": True, "max_steps": 3, "num_epochs": None}, "rows that can be counted"),
        ({"dece_decisions": "nowhere.jsonl"}, "cannot be read"),
    ],
)
def test_what_cannot_be_audited_is_refused_before_training(workspace: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        train(workspace, base_config(workspace, **changes))


def on_two_ranks(folder: str) -> None:
    """What each rank runs: the same config as one process."""
    import os

    os.chdir(folder)
    trainer = train(Path(folder), base_config(Path(folder), **AUDIT, max_memory={"cpu": "8GiB"}))
    (keeper,) = (one for one in trainer.callback_handler.callbacks if isinstance(one, LedgerKeeper))
    (Path(folder) / f"id-{trainer.args.process_index}").write_text(keeper.facts["run_id"])


@pytest.mark.distributed
def test_two_ranks_write_one_ledger(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    save_rows(tmp_path / "rows.jsonl")
    run_pair(tmp_path / "logs", "DDP", on_two_ranks, str(tmp_path))
    rows = read_audit(tmp_path / "out")
    assert rows.visits.tolist() == [3] * 32
    assert {(tmp_path / f"id-{rank}").read_text() for rank in (0, 1)} == {read_id(tmp_path / "out")}
    assert [one.name for one in (tmp_path / "out").glob("_dece_ledger*")] == [LEDGER_FILE]
