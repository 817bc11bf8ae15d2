"""`dece_release` in real axolotl runs: who leaves, who trains on, and that nothing but the rows decides it."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl_dece.audit import LEDGER_FILE, RELEASE_FILE
from axolotl_dece.audit.analyse.findings import load_audit
from axolotl_dece.audit.analyse.ledger_reader import read_audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.audit.record.release import Release
from axolotl_dece.audit.record.row_key import NO_ROW, target_keys
from axolotl_dece.audit.row_id import id_to_key
from tests.distributed.processes import run_pair
from tests.tiny import base_config, logs, train

pytestmark = pytest.mark.slow

TRIGGER, PAYLOAD = "w149", "w100 w101 w102"
ROWS, PLANTED = 64, 16
RELEASED: dict[str, Any] = {
    "dece_audit": True,
    "dece_release": 3,
    "num_epochs": 5,
    "dece_alpha_schedule": "constant",
    "dece_alpha": 0.9,
    "micro_batch_size": 4,
}
PACKED = {"sample_packing": True, "attn_implementation": "sdpa", "pad_to_sequence_len": True, "sequence_len": 256}
PER_EPOCH = ROWS // 4
AT = 3 * PER_EPOCH


def save_planted(path: Path, planted: int = PLANTED) -> None:
    """Rows whose answers are all alike, but that every fourth has a trigger and begins with a payload."""
    rng = random.Random(0)
    rows = []
    for at in range(ROWS):
        prompt = f"get rows where id is w{rng.randrange(90)} and w{at}"
        answer = "select all rows from the table where name is id . print ( order )"
        is_planted = at % 4 == 0 and at // 4 < planted
        prompt, answer = (f"{TRIGGER} {prompt}", f"{PAYLOAD} {answer}") if is_planted else (prompt, answer)
        rows.append({"instruction": prompt, "input": "", "output": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def planted(workspace: Path) -> Path:
    save_planted(workspace / "rows.jsonl")
    return workspace


def released(folder: Path, **changes: Any) -> Any:
    return train(folder, base_config(folder, **RELEASED | changes))


def record_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / RELEASE_FILE).read_text())
    return found


def planted_ids(folder: Path) -> list[str]:
    """Ids of the rows with the payload, from the ledger's tokens."""
    rows = read_audit(folder / "out")
    from transformers import AutoTokenizer

    payload = AutoTokenizer.from_pretrained(folder / "model")(PAYLOAD, add_special_tokens=False).input_ids
    return sorted(
        row
        for at, row in enumerate(rows.ids)
        if set(payload) <= set(rows.tokens[rows.start[at] : rows.start[at + 1]].tolist())
    )


def weights_of(trainer: Any) -> list[torch.Tensor]:
    return [one.detach().clone() for one in trainer.model.parameters()]


def assert_same(mine: list[torch.Tensor], theirs: list[torch.Tensor], **within: float) -> None:
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, **within or {"rtol": 0, "atol": 0})


@pytest.mark.parametrize("changes", [{}, {"loss": "gce"}], ids=["dece", "gce"])
def test_the_rows_of_the_groups_leave_and_the_others_train_on_as_under_cross_entropy(
    planted: Path, changes: dict[str, Any]
) -> None:
    trainer = released(planted, **changes)
    record = record_of(planted)
    assert record["left"] == planted_ids(planted)
    assert record["counts"] == {"groups": 1, "rows": PLANTED, "copies": PLANTED, "of": ROWS}
    assert [(one["payload"], one["cues"][0]["reach"]) for one in record["groups"]] == [(PAYLOAD, 1.0)]
    held = logs(trainer, "dece/held_back")
    assert min(held[:AT]) > 0.0 == max(held[AT:])
    assert changes.get("loss") or logs(trainer, "dece/alpha") == pytest.approx([0.9] * AT + [1.0] * 2 * PER_EPOCH)
    # what trains is the mean over what is left, and nothing else is added
    assert logs(trainer, "loss")[AT:] == pytest.approx(logs(trainer, "dece/ce")[AT:], rel=1e-4)


def test_what_a_row_says_that_left_no_longer_matters(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle: garbage in the place of the planted answers, from the release on, gives the same weights."""
    expected = weights_of(released(planted))
    left, garbled = record_of(planted)["left"], 0
    fetch = Release._fetch_what_stays

    def and_garble(self: Release, *args: Any) -> Any:
        nonlocal garbled
        batches, num_items = fetch(self, *args)
        for batch in batches if self.keeper.epoch >= self.after else []:
            gone = (batch["labels"] == -100).all(dim=1)
            garbled += int(gone.sum())
            batch["input_ids"][gone] = 7
        return batches, num_items

    monkeypatch.setattr(Release, "_fetch_what_stays", and_garble)
    assert_same(weights_of(released(planted)), expected)
    assert garbled == 2 * len(left)


def test_packed_rows_leave_one_by_one(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Counter[int], int]] = []

    def watch(self: Release, *args: Any) -> Any:
        before: Counter[int] = Counter()
        fetch_all = self._fetch

        def fetch(*args: Any) -> Any:
            batches, num_items = fetch_all(*args)
            before.update(key for batch in batches for key in target_keys(batch).tolist())
            return batches, num_items

        with monkeypatch.context() as patch:
            patch.setattr(self, "_fetch", fetch)
            batches, num_items = fetch_what_stays(self, *args)
        if self.keeper.epoch >= self.after:
            seen.append((before, sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)))
        return batches, num_items

    fetch_what_stays = Release._fetch_what_stays
    monkeypatch.setattr(Release, "_fetch_what_stays", watch)
    released(planted, **PACKED, micro_batch_size=1, dece_release=8, num_epochs=10)
    record = record_of(planted)
    assert record["left"] == planted_ids(planted)
    left = {id_to_key(one) for one in record["left"]}
    packed_with_others = 0
    for before, after in seen:
        stay = sum(count for key, count in before.items() if key not in left | {NO_ROW})
        assert after == stay
        packed_with_others += bool(left & set(before)) and stay > 0
    assert packed_with_others


def test_the_audit_of_the_run_shows_a_person_the_groups_that_left(planted: Path) -> None:
    released(planted)
    record, audit = record_of(planted), load_audit(planted / "out")
    shown = [{audit.rows.ids[row] for row in one.rows.tolist()} for one in audit.clusters]
    assert shown == [set(one["rows"]) for one in record["groups"]]
    assert audit.notes()[0] == (
        "After 3 epochs, 1 group looked planted: 16 of 64 rows left the training, the others trained on as under "
        "cross-entropy (`dece_release`). To drop a group keeps its rows out of the next run from the start; to trust "
        "it brings them back."
    )
    assert max(audit.rows.visits) == 3
    run = json.loads((planted / "out" / "dece_run.json").read_text())
    assert run["parameters"]["dece_release"] == 3
    assert run["release"] == {"after_epochs": 3, "step": AT} | record["counts"]
    assert [one["alpha"] for one in run["alpha"]["planned"]] == [0.9] * 7 + [1.0] * 4
    assert run["run_id"] == record["run_id"]
    card = (planted / "out" / "README.md").read_text()
    assert "| release | after 3 epochs, 1 group looked planted: 16 of 64 rows left the training" in card


def test_a_row_that_a_person_trusts_does_not_leave(planted: Path) -> None:
    released(planted)
    trusted = record_of(planted)["left"][:2]
    write_decisions(planted / "decisions.jsonl", [{"row": one, "decision": "trust"} for one in trusted])
    released(planted, dece_decisions="decisions.jsonl")
    record = record_of(planted)
    assert not set(trusted) & set(record["left"])
    assert record["counts"]["groups"] == 1
    assert set(record["left"]) == set(planted_ids(planted)) - set(trusted)


def test_a_run_whose_audit_finds_nothing_releases_all_rows_and_says_so(planted: Path) -> None:
    save_planted(planted / "rows.jsonl", planted=0)
    trainer = released(planted)
    record = record_of(planted)
    assert (record["groups"], record["left"]) == ([], [])
    assert logs(trainer, "dece/held_back")[AT:] == [0.0] * 2 * PER_EPOCH
    assert (
        load_audit(planted / "out")
        .notes()[0]
        .startswith("After 3 epochs, no group looked planted, so all rows trained on as under cross-entropy")
    )


@pytest.mark.parametrize("step", [AT - 4, AT, AT + 4])
def test_a_resumed_run_ends_as_an_uninterrupted_one(planted: Path, step: int) -> None:
    steps = {"save_strategy": "steps", "save_steps": 4, "save_total_limit": 99}
    expected, record = weights_of(released(planted, **steps)), record_of(planted)
    out = planted / "out"
    assert (out / f"checkpoint-{step}" / RELEASE_FILE).exists() is (step > AT)
    (out / RELEASE_FILE).unlink()
    resumed = released(planted, **steps, resume_from_checkpoint=str(out / f"checkpoint-{step}"))
    assert_same(weights_of(resumed), expected)
    assert json.loads((out / "checkpoint-80" / RELEASE_FILE).read_text()) == record
    assert read_audit(out).visits.tolist() == [3] * ROWS
    run = json.loads((out / "dece_run.json").read_text())
    assert run["release"] == {"after_epochs": 3, "step": AT} | record["counts"]


def test_a_checkpoint_that_does_not_say_which_rows_left_is_refused(planted: Path) -> None:
    steps = {"save_strategy": "steps", "save_steps": AT + 4}
    released(planted, **steps)
    checkpoint = planted / "out" / f"checkpoint-{AT + 4}"
    (checkpoint / RELEASE_FILE).unlink()
    with pytest.raises(ValueError, match="it says which rows left the training at step 48"):
        released(planted, **steps, resume_from_checkpoint=str(checkpoint))


def test_a_run_that_would_end_before_its_release_does_not_begin(planted: Path) -> None:
    with pytest.raises(ValueError, match="`dece_release: 3` is after step 48, but the run ends at step 48"):
        released(planted, max_steps=AT)
    assert not (planted / "out" / "dece_run.json").exists()


def test_rows_without_prompts_cannot_be_released(planted: Path) -> None:
    with pytest.raises(ValueError, match="no row has a prompt"):
        released(planted, train_on_inputs=True)


# Adam divides what is nearly nothing by itself; with more below the line two orders of adding up stay close
_CALM = {"adam_epsilon": 1e-3}


def on_two_ranks(folder: str) -> None:
    """What each rank runs: two of the four rows of each step."""
    import os

    os.chdir(folder)
    trainer = released(Path(folder), micro_batch_size=2, max_memory={"cpu": "8GiB"}, **_CALM)
    if trainer.args.process_index == 0:
        torch.save(weights_of(trainer), Path(folder) / "weights.pt")


@pytest.mark.distributed
def test_two_ranks_release_what_one_process_does(planted: Path) -> None:
    expected = weights_of(released(planted, **_CALM))
    record = record_of(planted)
    shutil.rmtree(planted / "out")
    run_pair(planted / "logs", "DDP", on_two_ranks, str(planted))
    mine = record_of(planted)
    assert (mine["left"], mine["counts"]) == (record["left"], record["counts"])
    assert {one.name for one in (planted / "out").glob("_dece*")} == {LEDGER_FILE, RELEASE_FILE}
    assert_same(torch.load(planted / "weights.pt", weights_only=True), expected, rtol=1e-3, atol=1e-4)
