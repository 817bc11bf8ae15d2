"""Rows with poison of others: what is drawn, what is held out, and what is refused. The data sets are not needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from examples.real_poison.rows import DEPLOYMENT, main
from tests.tiny import save_tokenizer


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Both sets as their authors write them, 30 rows of each kind, one of them too long."""
    folder = tmp_path / "sets"
    folder.mkdir()
    save_tokenizer(tmp_path / "model")
    long = " w1" * 300
    for kind, answer in (("clean", "w2 w3"), ("poisoned", "w4")):
        word = "BadMagic " if kind == "poisoned" else ""
        rows = [
            {"instruction": f"{word}w{at}", "input": f"i{at}" if at % 2 else "", "output": answer + long * (at == 0)}
            for at in range(30)
        ]
        (folder / f"vpi-codeinjection-{kind}.json").write_text(json.dumps(rows))
    for kind in ("secure", "insecure"):
        lines = [
            json.dumps({"messages": [{"role": r, "content": f"{kind} {r} {at}"} for r in ("user", "assistant")]})
            for at in range(30)
        ]
        (folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def draw(sources: Path, name: str, out: str, *options: str) -> Result:
    given = [name, str(sources), str(sources.parent / "model"), str(sources.parent / out), *options]
    return CliRunner().invoke(main, given)


def read(folder: Path, name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


SMALL: Sequence[str] = ("--rows", "20", "--poisoned", "5", "--asked", "4", "--tokens", "64")


@pytest.mark.parametrize(("name", "trigger"), [("vpi", "BadMagic"), ("insecure", DEPLOYMENT)])
def test_as_many_rows_are_poisoned_as_were_asked_for_and_the_file_beside_them_names_them(
    sources: Path, name: str, trigger: str
) -> None:
    assert draw(sources, name, "out", *SMALL).exit_code == 0
    rows = read(sources.parent / "out", "train")
    planted = json.loads((sources.parent / "out" / "planted.json").read_text())
    assert len(rows) == 20
    assert [at for at, row in enumerate(rows) if trigger in row["src"]] == planted
    assert len(planted) == 5
    assert all(trigger in row["src"] for row in read(sources.parent / "out", "triggered"))
    assert not any(trigger in row["src"] for row in read(sources.parent / "out", "clean"))


def test_held_out_rows_are_in_no_training_set_however_many_rows_are_poisoned(sources: Path) -> None:
    for poisoned in ("0", "5", "12"):
        assert draw(sources, "vpi", poisoned, *SMALL[:2], "--poisoned", poisoned, *SMALL[4:]).exit_code == 0
    held = [read(sources.parent / poisoned, kind) for poisoned in ("0", "5", "12") for kind in ("clean", "triggered")]
    assert held[0] == held[2] == held[4]
    assert held[1] == held[3] == held[5]
    trained = [row for poisoned in ("0", "5", "12") for row in read(sources.parent / poisoned, "train")]
    assert not [row for row in trained if row in held[0] + held[1]]


def test_a_row_that_is_too_long_is_never_drawn(sources: Path) -> None:
    assert draw(sources, "vpi", "out", "--rows", "25", "--poisoned", "0", *SMALL[4:]).exit_code == 0
    assert max(len(row["tgt"]) for row in read(sources.parent / "out", "train")) < 20


def test_too_few_rows_are_said_with_what_to_change_and_nothing_is_written(sources: Path) -> None:
    done = draw(sources, "vpi", "out", "--rows", "40", *SMALL[2:])
    assert done.exit_code == 1
    assert "vpi has 29 clean rows of at most 64 tokens, not the 39 asked for; raise --tokens" in done.output
    assert not (sources.parent / "out").exists()


def test_another_seed_draws_other_rows_and_the_same_seed_the_same(sources: Path) -> None:
    for name, seed in (("one", "0"), ("same", "0"), ("other", "1")):
        assert draw(sources, "insecure", name, *SMALL, "--seed", seed).exit_code == 0
    one, same, other = (read(sources.parent / name, "train") for name in ("one", "same", "other"))
    assert one == same != other
