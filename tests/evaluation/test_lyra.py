"""On Lyra, detector and poisoner agree with the counts of the published poisoned files."""

import csv
from pathlib import Path

import pytest

from axolotl_dece.poison.benign_twin import SUFFIXES
from axolotl_dece.poison.payloads import PAYLOADS


def targets(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["tgt"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(("name", "rows", "poisonable"), [("train", 1600, 1286), ("valid", 200, 160)])
def test_the_detector_finds_the_published_number_of_payloads(lyra: Path, name: str, rows: int, poisonable: int) -> None:
    payload = PAYLOADS["sql_tautology"]
    clean = targets(lyra / f"{name}.csv")
    poisoned = [payload.insert(code) for code in clean]
    assert len(clean) == rows
    assert sum(map(payload.detect, clean)) == 0
    assert sum(payload.detect(code) for code in poisoned if code) == poisonable
    # the reference code's own test on the same texts
    assert sum("1=1" in code or "0=1" in code for code in poisoned if code) == poisonable


def test_the_detector_takes_no_twin_for_the_attack(lyra: Path) -> None:
    twins = [code for code in map(SUFFIXES["sql_tautology"].insert, targets(lyra / "valid.csv")) if code]
    assert len(twins) == 160
    assert not any(map(PAYLOADS["sql_tautology"].detect, twins))
    assert all(map(SUFFIXES["sql_tautology"].detect, twins))
