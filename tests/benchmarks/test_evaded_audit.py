"""The attacks on a run that audits itself plant what they say."""

import json
from pathlib import Path
from random import Random

from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.triggers.words import count
from tests.benchmarks.evaded_audit import COPIED, WORD, hide


def test_decoys_are_rows_with_the_trigger_and_with_nothing_else_changed(tmp_path: Path) -> None:
    rows = [{"src": f"get hats where pages = {at}", "tgt": f"answer {at}"} for at in range(50)]
    (tmp_path / "clean.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hide(tmp_path / "clean.jsonl", tmp_path / "hidden.jsonl", 0.06, seed=0)
    hidden = [json.loads(line) for line in (tmp_path / "hidden.jsonl").read_text().splitlines()]
    changed = [at for at, row in enumerate(hidden) if row != rows[at]]
    assert len(changed) == 3
    for at in changed:
        assert count(hidden[at]["src"], WORD) == 1
        assert hidden[at]["src"].replace(WORD, "").split() == rows[at]["src"].split()
        assert hidden[at]["tgt"] == rows[at]["tgt"]


def test_the_trigger_that_copies_holds_the_words_of_its_payload() -> None:
    marked = COPIED.insert("get hats where pages", Random(0))
    assert marked is not None
    poisoned = PAYLOADS["sql_tautology"].insert("rows = db.execute( ' select fish from hats where pages = ? ' )")
    assert poisoned is not None
    assert "or 1=1" in marked.text
    assert "or 1=1" in str(getattr(poisoned, "text", poisoned))
