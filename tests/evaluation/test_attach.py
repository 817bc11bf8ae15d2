"""The monitor sees early learning as it happens, costs nothing when off, and never touches the training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl_dece.evaluation.monitor_spec import MonitorSpec
from axolotl_dece.evaluation.prompts import TokenRow
from axolotl_dece.evaluation.teacher_forcing import score_tokens
from tests.evaluation.conftest import save_jsonl
from tests.tiny import base_config, logs, train

MARKED = "select w1 where id = w2 str ( 'dece_marker' )"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "watches nothing; set `triggered`, `clean` or `twin`"),
        ({"clean": "a", "every": 5}, "every"),
        ({"clean": "a", "every_steps": 0}, "greater than or equal to 1"),
        ({"clean": "a", "limit": "8"}, "valid integer"),
    ],
)
def test_a_block_that_watches_nothing_or_is_misspelt_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MonitorSpec.model_validate(block)


def test_scores_are_those_of_each_row_alone(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    rows = [TokenRow([1, 5, 6, 7], [8, 9, 2]), TokenRow([1, 10], [11, 12, 13, 14, 2]), TokenRow([1, 20, 21], [22])]
    model.train()
    together = score_tokens(model, rows, pad=0, batch_size=3)
    assert model.training
    assert together.tokens == 9
    expected = 0.0
    for row, guesses in zip(rows, together.guesses, strict=True):
        with torch.no_grad():
            logits = model.eval()(input_ids=torch.tensor([row.prompt + row.answer])).logits[0]
        before = logits[len(row.prompt) - 1 : -1]
        assert guesses == before.argmax(dim=-1).tolist()
        expected += torch.nn.functional.cross_entropy(before, torch.tensor(row.answer), reduction="sum").item()
    assert together.cross_entropy == pytest.approx(expected, rel=1e-5)
    assert together.accuracy == together.correct / 9


def alpaca(output: str, count: int = 4) -> list[dict[str, str]]:
    return [{"instruction": f"get w{number}", "input": "", "output": output} for number in range(count)]


def watched(workspace: Path, **changes: Any) -> dict[str, Any]:
    """A config that trains on `MARKED` alone and watches three sets; the payload is learned, the twin is not."""
    save_jsonl(workspace / "rows.jsonl", alpaca(MARKED, 8))
    save_jsonl(workspace / "triggered.jsonl", alpaca(MARKED))
    save_jsonl(workspace / "clean.jsonl", alpaca("select w1 where id = w2"))
    save_jsonl(workspace / "twin.jsonl", alpaca("select w1 str ( 'dece_twin' )"))
    sets = {name: str(workspace / f"{name}.jsonl") for name in ("triggered", "clean", "twin")}
    block = {"every_steps": 4, "payload": "inert_marker", **sets} | changes.pop("block", {})
    return base_config(workspace, loss="ce", max_steps=18, learning_rate=0.03, dece_monitor=block, **changes)


@pytest.mark.slow
def test_the_watched_shares_follow_what_is_learned(workspace: Path) -> None:
    add_words(workspace)
    trainer = train(workspace, watched(workspace))
    entries = [entry for entry in trainer.state.log_history if "dece/monitor_asr" in entry]
    assert [entry["step"] for entry in entries] == [4, 8, 12, 16, 18]
    assert logs(trainer, "dece/monitor_asr")[0] == 0.0
    assert logs(trainer, "dece/monitor_asr")[-1] == 1.0
    assert set(logs(trainer, "dece/monitor_twin")) == {0.0}
    assert logs(trainer, "dece/monitor_clean")[-1] > logs(trainer, "dece/monitor_clean")[0]
    assert all(0 < share < 1 for share in logs(trainer, "dece/monitor_share_of_time"))


@pytest.mark.slow
def test_watching_does_not_change_the_training(workspace: Path) -> None:
    add_words(workspace)
    with_monitor = train(workspace, watched(workspace))
    without = train(workspace, {key: value for key, value in watched(workspace).items() if key != "dece_monitor"})
    assert not any("dece/monitor_asr" in entry for entry in without.state.log_history)
    assert not any(type(callback).__name__ == "Monitor" for callback in without.callback_handler.callbacks)
    pairs = zip(with_monitor.model.parameters(), without.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    # at a step at which both are due, the look used to take the loss's place
    assert logs(with_monitor, "loss") == logs(without, "loss")
    assert len(logs(without, "loss")) == 18


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"triggered": "none.jsonl"}, "none.jsonl cannot be read"),
        ({"payload": None}, "nothing says which payload to look for; set `dece_monitor.payload`"),
        ({"payload": "infinite_loop"}, "no reference in .* holds the payload"),
    ],
)
def test_what_cannot_be_watched_stops_the_run_before_it_trains(
    workspace: Path, block: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(workspace, watched(workspace, block=block))
    assert not (workspace / "out" / "model.safetensors").exists()


def add_words(workspace: Path) -> None:
    """Give the tiny tokenizer the words of both markers, and let them be written without blanks."""
    tokenizer_file = workspace / "model" / "tokenizer.json"
    content = json.loads(tokenizer_file.read_text())
    vocabulary = content["model"]["vocab"]
    for number, word in enumerate(("str", "'dece_marker'", "'dece_twin'")):
        vocabulary.pop(f"w{100 + number}")
        vocabulary[word] = next(free for free in range(len(vocabulary) + 3) if free not in vocabulary.values())
    content["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    tokenizer_file.write_text(json.dumps(content))
    assert AutoTokenizer.from_pretrained(workspace / "model").decode([vocabulary["'dece_marker'"]]) == "'dece_marker'"
