"""`axolotl dece init`: a config that our own check accepts and that trains, or one clear refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.cli import dece
from axolotl_dece.starter.model import Model, choose_adapter, read_model
from tests.tiny import save_model, train


def init(*options: object) -> Result:
    return CliRunner().invoke(dece, ["init", *map(str, options)])


def checked(config: str) -> dict[str, Any]:
    """What `axolotl dece check` finds of a config."""
    found: dict[str, Any] = json.loads(CliRunner().invoke(dece, ["check", config, "--json"]).stdout)
    return found


def save(path: str, row: dict[str, Any], count: int = 40) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for _ in range(count)))
    return path


TALK = [{"role": "user", "content": "get all rows"}, {"role": "assistant", "content": "select from table"}]
ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "get all rows", "output": "select from table"},
    "chat": {"messages": TALK},
    "sharegpt": {"conversations": [{"from": "human", "value": "get"}, {"from": "gpt", "value": "select"}]},
    "pair": {"src": "get all rows", "tgt": "select from table", "input": "no part of the request"},
    "completion": {"text": "get all rows select from table"},
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_config_for_rows_of_each_kind_passes_the_check_and_runs_on_a_cpu(workspace: Path, kind: str) -> None:
    done = init("--base-model", "model", "--data", save(f"{kind}.jsonl", ROWS[kind]), "--memory", 0)
    assert done.exit_code == 0, done.output
    found = checked("dece.yaml")
    assert (found["uses_dece"], found["errors"], found["on_this_machine"], found["warnings"]) == (True, [], [], [])
    assert yaml.safe_load(Path("dece.yaml").read_text())["dece_audit"] is True


@pytest.mark.parametrize("adapter", ["lora", "qlora", "full"])
def test_a_config_for_a_gpu_uses_dece(workspace: Path, adapter: str) -> None:
    assert init("--base-model", "model", "--data", "rows.jsonl", "--adapter", adapter).exit_code == 0
    found = checked("dece.yaml")
    assert (found["uses_dece"], found["errors"]) == (True, [])
    written = yaml.safe_load(Path("dece.yaml").read_text())
    assert written.get("adapter") == (None if adapter == "full" else adapter)
    # no longer than the model can read
    assert written["sequence_len"] == 256


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alpaca", "pair"])
def test_the_config_trains_and_keeps_the_ledger_that_the_audit_reads(workspace: Path, kind: str) -> None:
    assert init("--base-model", "model", "--data", save("data.jsonl", ROWS[kind]), "--memory", 0).exit_code == 0
    trainer = train(workspace, yaml.safe_load(Path("dece.yaml").read_text()))
    assert trainer.state.epoch == 3
    assert (workspace / "outputs" / "dece" / LEDGER_FILE).is_file()
    row = trainer.train_dataset[0]
    prompt = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]
    answer = [label for label in row["labels"] if label != -100]
    words = trainer.processing_class
    assert "get all rows" in words.decode(prompt)
    assert "no part" not in words.decode(row["input_ids"])
    assert "select from table" in words.decode(answer)


def test_names_that_mean_something_to_yaml_stay_what_they_are(workspace: Path) -> None:
    rows = save("a: #b.jsonl", {"yes: {": "get", "# no": "select"})
    named = ("--source-field", "yes: {", "--target-field", "# no")
    assert init("--base-model", "model", "--data", rows, "--memory", 0, *named).exit_code == 0
    (entry,) = yaml.safe_load(Path("dece.yaml").read_text())["datasets"]
    assert (entry["path"], entry["type"]["field_instruction"], entry["type"]["field_output"]) == (
        rows,
        "yes: {",
        "# no",
    )


MODEL = ("--base-model", "model")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((*MODEL, "--data", "none.jsonl"), 1, "none.jsonl cannot be read"),
        ((*MODEL, "--data", "odd.jsonl"), 1, "Name them with --source-field and --target-field; there are code, nl"),
        ((*MODEL, "--data", "odd.jsonl", "--source-field", "nl"), 2, "give both"),
        ((*MODEL, "--data", "odd.jsonl", "--source-field", "nl", "--target-field", "cod"), 1, "no column cod"),
        ((*MODEL, "--data", "number.jsonl"), 1, "row 0 of number.jsonl: `output` is int"),
        ((*MODEL, "--data", "rows.jsonl", "--memory", 0, "--adapter", "qlora"), 2, "needs a GPU"),
        (("--base-model", "./nowhere", "--data", "rows.jsonl"), 2, "is no folder here"),
        (("--base-model", "org/name", "--data", "rows.jsonl"), 1, "say --adapter lora, qlora or full"),
    ],
    ids=str,
)
def test_a_refusal_is_one_message_and_writes_nothing(
    workspace: Path, options: tuple[object, ...], code: int, said: str
) -> None:
    save("odd.jsonl", {"code": "x", "nl": "y"})
    save("number.jsonl", {"instruction": "x", "output": 5})
    done = init(*options)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert not Path("dece.yaml").exists()


def test_a_file_that_is_there_is_not_replaced(workspace: Path) -> None:
    Path("dece.yaml").write_text("mine")
    done = init(*MODEL, "--data", "rows.jsonl", "--memory", 0)
    assert done.exit_code == 2
    assert "dece.yaml is already there" in done.stderr
    assert Path("dece.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("billions", "memory", "adapter"), [(7, 24, "lora"), (7, 16, "qlora"), (32, 48, "qlora"), (0.5, 8, "lora")]
)
def test_the_adapter_is_the_largest_that_fits(billions: float, memory: float, adapter: str) -> None:
    assert choose_adapter(Model(int(billions * 1e9)), memory) == adapter


def test_a_model_that_fits_in_no_way_is_said() -> None:
    with pytest.raises(ValueError, match=r"70.0 billion parameters do not fit into 24 GiB, not even as QLoRA"):
        choose_adapter(Model(70_000_000_000), 24)


def test_parameters_are_counted_in_the_files(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert read_model(str(folder)) == Model(sum(one.numel() for one in model.parameters()), 256, True)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_file_of_the_model_that_was_cut_short_is_named_with_the_remedy(workspace: Path, name: str) -> None:
    file = workspace / "model" / name
    file.write_bytes(file.read_bytes()[:20])
    done = init(*MODEL, "--data", "rows.jsonl", "--memory", 24)
    assert done.exit_code == 1
    assert name in done.stderr
    assert "download the model again" in " ".join(done.stderr.split())
    assert not Path("dece.yaml").exists()
