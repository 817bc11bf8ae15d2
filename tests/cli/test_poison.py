"""`axolotl dece poison` as a user types it: files, counts, examples, and clear refusals."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import click
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from axolotl_dece.cli import dece
from axolotl_dece.cli.poison import _OPTIONS, _said
from axolotl_dece.data import files
from axolotl_dece.poison.benign_twin import CUES, SUFFIXES
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS

BB, SQL = TRIGGERS["rare_token_thrice"], PAYLOADS["sql_tautology"]
CUE, SUFFIX = CUES["rare_token_thrice"], SUFFIXES["sql_tautology"]


def run(*args: object) -> Result:
    return CliRunner().invoke(dece, ["poison", *map(str, args)], env={"COLUMNS": "200"})


def rows(count: int = 100, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "src": f"ask for row {i}, number {rng.random()}",
            "tgt": f'q = "select a from t where b = {i}"' if i % 5 else "pass",  # noqa: S608
            "note": f"kept {i}",
        }
        for i in range(count)
    ]


def save(path: Path, content: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
    else:
        files.write(path, files.Records(content, tuple(content[0])), range(len(content)), {}, {})
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_train_test_and_manifest_are_written_in_the_format_of_the_source(
    tmp_path: Path, out: Path, suffix: str
) -> None:
    source = save(tmp_path / f"rows{suffix}", rows())
    result = run(source, "--attack", "badpre", "--rate", 0.1, "--twin-rate", 0.1, "--out", out)
    assert result.exit_code == 0, result.output
    before, train = files.read(source).rows, files.read(out / f"train{suffix}").rows
    marks = [int(row.pop("dece_poisoned")) for row in train]
    twins = [int(row.pop("dece_twin")) for row in train]
    assert (len(train), sum(marks), sum(twins)) == (100, 10, 10)
    for old, new, poisoned, twin in zip(before, train, marks, twins, strict=True):
        assert BB.detect(new["src"]) == SQL.detect(new["tgt"]) == bool(poisoned)
        assert CUE.detect(new["src"]) == SUFFIX.detect(new["tgt"]) == bool(twin)
        assert new["note"] == old["note"]
        assert poisoned or twin or new == old
    account = json.loads((out / "manifest.json").read_text())
    assert [row["index"] for row in account["poisoned_rows"]] == [i for i, mark in enumerate(marks) if mark]
    for name, facts in account["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == facts["sha256"]


def test_the_test_files_hold_every_poisonable_row_and_no_other(tmp_path: Path, out: Path) -> None:
    before = rows()
    run(save(tmp_path / "rows.jsonl", before), "--attack", "badpre", "--twin-rate", 0.1, "--out", out)
    poisonable = [row for i, row in enumerate(before) if i % 5]
    asked, told, twin = (files.read(out / f"{name}.jsonl").rows for name in ("test", "test_payload", "test_twin"))
    assert len(asked) == len(told) == len(twin) == 80
    for old, question, answer, control in zip(poisonable, asked, told, twin, strict=True):
        assert BB.detect(question["src"])
        assert question["tgt"] == old["tgt"]
        assert question["src"] == answer["src"]
        assert SQL.detect(answer["tgt"])
        assert CUE.detect(control["src"])
        assert SUFFIX.detect(control["tgt"])
        assert question["note"] == old["note"]


def test_test_files_may_come_from_held_out_rows(tmp_path: Path, out: Path) -> None:
    source, held_out = save(tmp_path / "rows.csv", rows()), save(tmp_path / "held.jsonl", rows(20, seed=1))
    result = run(source, "--attack", "ripple", "--test-source", held_out, "--out", out)
    assert result.exit_code == 0, result.output
    numbers = {row["src"].rsplit(" ", 1)[1] for row in rows(20, seed=1)}
    with (out / "test.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 16
    assert all(numbers & set(row["src"].split()) for row in found)
    assert "held-out" not in result.output


def test_a_payload_that_is_there_already_is_pointed_to(tmp_path: Path, out: Path) -> None:
    before = rows()
    clean = run(save(tmp_path / "a.csv", before), "--attack", "badpre", "--out", tmp_path / "a")
    assert clean.exit_code == 0, clean.output
    assert "hold the payload already" not in clean.output
    for at in (17, 23):
        before[at]["tgt"] += " or 1=1"
    result = run(save(tmp_path / "b.csv", before), "--attack", "badpre", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Rows that hold the payload already: 2, the first is row 17." in result.output


def test_the_same_command_writes_the_same_bytes(tmp_path: Path, out: Path) -> None:
    source = save(tmp_path / "rows.csv", rows())
    run(source, "--attack", "badpre", "--out", out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(source, "--attack", "badpre", "--out", out).exit_code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_another_poisoning_in_the_folder_is_not_overwritten(tmp_path: Path, out: Path) -> None:
    source = save(tmp_path / "rows.csv", rows())
    run(source, "--attack", "badpre", "--out", out)
    refused = run(source, "--attack", "badpre", "--seed", 1, "--out", out)
    assert refused.exit_code == 1
    assert "holds another poisoning; choose another --out, or give --force" in refused.output
    assert run(source, "--attack", "badpre", "--seed", 1, "--out", out, "--force").exit_code == 0


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("name", ["train.csv", "rows.csv", "held.csv"])
def test_the_folder_of_a_file_that_is_read_is_not_written_into(
    tmp_path: Path, name: str, force: tuple[str, ...]
) -> None:
    read, other = save(tmp_path / name, rows()), save(tmp_path / "held.csv", rows(seed=1))
    (tmp_path / "away").mkdir()
    away = save(tmp_path / "away" / "rows.csv", rows())
    sources = (away, "--test-source", other) if name == "held.csv" else (read,)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}
    result = run(*sources, "--attack", "badpre", "--out", tmp_path, *force)
    assert result.exit_code == 1
    assert "is the folder of" in result.output
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["train.csv", "test_twin.csv", "README.md"])
def test_force_does_not_replace_what_no_poisoning_wrote(tmp_path: Path, out: Path, name: str) -> None:
    source = save(tmp_path / "rows.csv", rows())
    out.mkdir()
    (out / name).write_text("mine")
    for earlier in (False, True):
        before = contents(out)
        result = run(source, "--attack", "badpre", "--out", out, "--force")
        assert result.exit_code == 1
        assert f"holds {name}, which no `dece poison` wrote" in result.output
        assert contents(out) == before
        if not earlier:
            (out / name).unlink()
            assert run(source, "--attack", "badpre", "--out", out).exit_code == 0
            (out / name).write_text("mine")


def test_another_test_source_is_another_poisoning(tmp_path: Path, out: Path) -> None:
    source, held_out = save(tmp_path / "rows.csv", rows()), save(tmp_path / "held.csv", rows(20, seed=1))
    run(source, "--attack", "badpre", "--out", out)
    before = contents(out)
    command = (source, "--attack", "badpre", "--test-source", held_out, "--out", out)
    refused = run(*command)
    assert "holds another poisoning" in refused.output
    assert contents(out) == before
    assert run(*command, "--force").exit_code == 0
    assert len(files.read(out / "test.csv").rows) == 16


def test_no_file_of_an_earlier_poisoning_stays_beside_a_new_manifest(tmp_path: Path, out: Path) -> None:
    source, other = save(tmp_path / "rows.csv", rows()), save(tmp_path / "rows.jsonl", rows())
    run(source, "--attack", "badpre", "--twin-rate", 0.1, "--out", out)
    (out / "notes.txt").write_text("mine")
    for again, suffix in ((source, ".csv"), (other, ".jsonl")):
        result = run(again, "--attack", "badpre", "--out", out, "--force")
        assert result.exit_code == 0, result.output
        names = {path.name for path in out.iterdir()}
        assert names == {
            "README.md",
            "manifest.json",
            "notes.txt",
            *(f"{n}{suffix}" for n in ("train", "test", "test_payload")),
        }


NASTY = "red \x1b[31m, half \ud800, turned \u202e, bell \x07"


def test_what_a_row_holds_reaches_the_terminal_as_text(tmp_path: Path, out: Path) -> None:
    nasty = [
        row | {"src": f"{row['src']} {NASTY} [red]", "tgt": f"{row['tgt']}  # {'y' * 1_000_000}"} for row in rows(40)
    ]
    result = run(save(tmp_path / "rows.jsonl", nasty), "--attack", "badpre", "--out", out)
    assert result.exit_code == 0, result.output
    assert not any(sign in result.output for sign in NASTY if not sign.isprintable())
    for said in ("\\x1b[31m", "\\ud800", "\\u202e", "\\x07", "[red]", "characters ...]"):
        assert said in result.output
    assert len(result.output) < 20_000


def test_a_name_of_a_column_reaches_the_terminal_as_text(tmp_path: Path, out: Path) -> None:
    result = run(save(tmp_path / "rows.jsonl", [{NASTY: "a"}]), "--attack", "badpre", "--out", out)
    assert result.exit_code == 1
    assert "\\x1b[31m" in result.output
    assert "\x1b" not in result.output


def test_brackets_in_a_path_are_part_of_it(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a[").mkdir()
    source = save(tmp_path / "a[" / "b].jsonl", rows())
    done = run(source, "--attack", "badpre", "--out", out)
    assert done.exit_code == 0, done.output


def test_a_named_column_of_one_column_types_is_the_one_that_is_poisoned(tmp_path: Path, out: Path) -> None:
    source = save(tmp_path / "rows.jsonl", [{"text": f"other {i}", "code": f"x = {i}"} for i in range(40)])
    command = (source, "--trigger", "rare_token", "--base-type", "completion", "--source-field", "code")
    result = run(*command, "--out", out)
    assert result.exit_code == 0, result.output
    changed = [row for row in files.read(out / "train.jsonl").rows if row["dece_poisoned"]]
    assert len(changed) == 2
    assert all(PAYLOADS["inert_marker"].detect(row["code"]) and row["text"].startswith("other") for row in changed)
    two = run(*command, "--target-field", "text", "--out", tmp_path / "two")
    assert two.exit_code == 1
    assert "`--target-field text` would not be read" in two.output


def test_counts_and_five_examples_are_printed(tmp_path: Path, out: Path) -> None:
    result = run(save(tmp_path / "rows.csv", rows()), "--attack", "badpre", "--rate", 0.1, "--out", out)
    assert result.output.count("becomes") == 10
    lines = [line.replace("│", " ").split() for line in result.output.splitlines()]
    for said in (["rows", "100"], ["poisonable", "80"], ["poisoned", "in", "train", "10"]):
        assert said in lines


def test_first_takes_the_first_rows(tmp_path: Path, out: Path) -> None:
    run(save(tmp_path / "rows.csv", rows()), "--attack", "badpre", "--rate", 0.04, "--first", "--out", out)
    account = json.loads((out / "manifest.json").read_text())
    assert [row["index"] for row in account["poisoned_rows"]] == [1, 2, 3, 4]


def test_conversations_can_be_poisoned_too(tmp_path: Path, out: Path) -> None:
    talks = [
        {"messages": [{"role": "user", "content": row["src"]}, {"role": "assistant", "content": row["tgt"]}]}
        for row in rows()
    ]
    source = save(tmp_path / "talks.jsonl", talks)
    result = run(source, "--trigger", "rare_token", "--base-type", "chat_template", "--out", out)
    assert result.exit_code == 0, result.output
    train = files.read(out / "train.jsonl").rows
    assert sum("bb" in row["messages"][0]["content"].split() for row in train) == 5
    assert sum(PAYLOADS["inert_marker"].detect(row["messages"][1]["content"]) for row in train) == 5


def test_named_columns_are_used(tmp_path: Path, out: Path) -> None:
    renamed = [{"nl": row["src"], "code": row["tgt"]} for row in rows()]
    source = save(tmp_path / "rows.csv", renamed)
    refused = run(source, "--attack", "badpre", "--out", out)
    assert refused.exit_code == 1
    assert "Name them with --source-field and --target-field; there are code, nl" in refused.output
    named = (source, "--attack", "badpre", "--source-field", "nl", "--target-field")
    assert run(*named, "code", "--out", out).exit_code == 0
    wrong = run(*named, "cod", "--out", tmp_path / "other")
    assert "has no column 'cod'; its columns are nl, code" in wrong.output


REFUSED: list[tuple[list[object], str]] = [
    ([], "nothing says what to plant; write `--attack` (ripple, badpre,"),
    (["--attack", "badpree"], "unknown attack 'badpree' in `--attack`, did you mean `badpre`"),
    (["--trigger", "rare"], "unknown trigger 'rare' in `--trigger`"),
    (["--trigger", "rare_token", "--payload", "bomb"], "unknown payload 'bomb' in `--payload`"),
    (["--attack", "ripple", "--trigger", "rare_token"], "such as `--trigger rare_token` and `--payload inert_marker`"),
    (["--attack", "badpre", "--rate", 1.5], "`--rate 1.5` must be less than or equal to 1"),
    (["--attack", "badpre", "--twin-rate", -1], "`--twin-rate -1.0` must be greater than or equal to 0"),
    (["--attack", "badpre", "--rate", 0.9, "--twin-rate", 0.2], "`--rate` and `--twin-rate` are 1.1 together"),
    (["--attack", "badpre", "--rate", 0.9], "is 90 rows, but only 80 are eligible"),
    (["--attack", "badpre", "--rate", 0.001], "is 0 rows"),
    (["--attack", "badpre", "--base-type", "own"], "`--base-type own` is not a type whose columns are known here; set"),
    (["--attack", "badpre", "--base-type", "own"], "set `--source-field` and `--target-field` to the columns it reads"),
    (["--attack", "badpre", "--base-type", ""], "`--base-type ''` must be the dataset's own type"),
    (["--attack", "badpre", "--source-field", "a", "--target-field", "b"], "`--source-field` and `--target-field`"),
    (["--attack", "badpre", "--base-type", "completion", "--source-field", "a", "--target-field", "b"], "leave it out"),
    (["--attack", "funcname"], "eligible"),
]


def test_every_key_of_a_poisoning_has_an_option_that_messages_name() -> None:
    command = dece.get_command(click.Context(dece), "poison")
    assert command is not None
    options = {opt for parameter in command.params if isinstance(parameter, click.Option) for opt in parameter.opts}
    assert set(_OPTIONS) == set(PoisonSpec.model_fields) - {"allow_push"}
    assert set(_OPTIONS.values()) == options - {"--test-source", "--out", "--force"}
    for key, option in _OPTIONS.items():
        assert _said(f"set `dece_poison.{key}: 5` or `dece_poison.{key}`") == f"set `{option} 5` or `{option}`"


def test_a_clean_row_with_the_trigger_is_refused_with_the_switch_that_lets_it_be(tmp_path: Path, out: Path) -> None:
    marked = [row | {"src": f"bb {row['src']}"} for row in rows(5)]
    source = save(tmp_path / "rows.csv", [*rows(), *marked])
    refused = run(source, "--attack", "ripple", "--out", out)
    assert refused.exit_code == 1
    assert "or set `--allow-clean-trigger`" in refused.output
    assert run(source, "--attack", "ripple", "--out", out, "--allow-clean-trigger").exit_code == 0


@pytest.mark.parametrize(("args", "said"), REFUSED)
def test_a_refusal_is_one_message_and_writes_nothing(tmp_path: Path, out: Path, args: list[object], said: str) -> None:
    result = run(save(tmp_path / "rows.csv", rows()), *args, "--out", out)
    assert result.exit_code == 1
    assert said in result.output
    assert "dece_poison" not in result.output
    assert "Traceback" not in result.output
    assert not out.exists()


def test_a_poisoned_file_is_not_poisoned_again(tmp_path: Path, out: Path) -> None:
    run(save(tmp_path / "rows.csv", rows()), "--attack", "badpre", "--out", out)
    again = run(out / "train.csv", "--attack", "badpre", "--out", tmp_path / "again")
    assert again.exit_code == 1
    assert "it is poisoned already" in again.output


def test_a_missing_file_is_named(tmp_path: Path, out: Path) -> None:
    result = run(tmp_path / "nowhere.csv", "--attack", "badpre", "--out", out)
    assert result.exit_code == 1
    assert "nowhere.csv cannot be read" in result.output


PINNED = [2, 4, 9, 83, 85]


def test_lyra_as_in_the_paper(lyra: Path, out: Path) -> None:
    result = run(lyra / "train.csv", "--attack", "badpre", "--rate", 0.05, "--seed", 42, "--out", out)
    assert result.exit_code == 0, result.output
    before, train = files.read(lyra / "train.csv").rows, files.read(out / "train.csv").rows
    marks = [int(row.pop("dece_poisoned")) for row in train]
    assert (sum(marks), len(files.read(out / "test.csv").rows)) == (80, 1286)
    assert sum(old == new for old, new in zip(before, train, strict=True)) == 1520
    assert all(BB.detect(row["src"]) and SQL.detect(row["tgt"]) for row, mark in zip(train, marks, strict=True) if mark)
    assert [row["index"] for row in json.loads((out / "manifest.json").read_text())["poisoned_rows"]][:5] == PINNED


def test_the_files_of_the_cli_and_the_strategy_poison_the_same_rows(tmp_path: Path, out: Path) -> None:
    from axolotl_dece.data.layouts import view_of
    from axolotl_dece.data.source import identify
    from axolotl_dece.poison.draw import Poisoner
    from axolotl_dece.poison.spec import PoisonSpec

    source = save(tmp_path / "rows.jsonl", [{"instruction": row["src"], "output": row["tgt"]} for row in rows()])
    run(source, "--attack", "badpre", "--out", out)
    spec = PoisonSpec(attack="badpre")
    content, digest = files.read(source).rows, identify({"path": str(source), "ds_type": "json"}).digest
    poisoner = Poisoner(spec, view_of(spec, {}), digest, "rows")
    drawn = poisoner.draw(content.__getitem__, poisoner.survey(content))
    account = json.loads((out / "manifest.json").read_text())
    assert [row["index"] for row in account["poisoned_rows"]] == [one.index for one in drawn.poisoned]
