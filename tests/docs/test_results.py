"""The page of results is made from what the experiments wrote, and the experiments are those of the grids."""

import csv
import re
import runpy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE, DATA = ROOT / "docs" / "results.md", ROOT / "docs" / "results"
MAKE = runpy.run_path(str(ROOT / "docs" / "make_results.py"))
GRIDS = sorted(folder.name for folder in DATA.iterdir())
# grids that take days; their page says how many runs are finished
UNFINISHED = {"smollm2-lyra": "One run of this grid is finished"}


def test_tables_are_those_of_the_files() -> None:
    assert PAGE.read_text(encoding="utf-8") == MAKE["build"](), "run `python docs/make_results.py`"


def test_pictures_are_those_of_the_files() -> None:
    for path, picture in MAKE["pictures"]().items():
        assert path.read_text(encoding="utf-8") == picture, "run `python docs/make_results.py`"


def test_every_mark_of_the_page_is_filled_and_every_experiment_shown() -> None:
    regions = {found["grid"]: found[0] for found in MAKE["REGION"].finditer(PAGE.read_text(encoding="utf-8"))}
    assert set(regions) == {*GRIDS, "onset"}
    assert all("| arm |" in text for text in regions.values())


@pytest.mark.parametrize("name", GRIDS)
def test_the_runs_are_those_of_the_grid(name: str) -> None:
    grid: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "experiments" / f"{name}.yaml").read_text())
    attacks = [one if isinstance(one, str) else one["name"] for one in grid["attacks"]]
    with (DATA / name / "results.csv").open(newline="") as file:
        found = [(line["arm"], line["attack"], float(line["rate"]), int(line["seed"])) for line in csv.DictReader(file)]
    wanted = set(product(grid["arms"], attacks, map(float, grid["rates"]), grid["seeds"]))
    assert len(found) == len(set(found))
    if name in UNFINISHED:
        assert set(found) < wanted
        assert UNFINISHED[name] in PAGE.read_text(encoding="utf-8")
    else:
        assert set(found) == wanted


@pytest.mark.parametrize("name", GRIDS)
def test_a_table_says_command_commit_versions_and_machine(name: str) -> None:
    said = MAKE["provenance"](name)
    assert f"axolotl dece experiment examples/experiments/{name}.yaml" in said
    assert re.search(r"commit [0-9a-f]{10}", said)
    assert all(word in said for word in ("axolotl 0.19", "torch ", "cores"))
    assert re.search(r"\d runs?, 20\d\d-", said)


def test_the_onset_is_the_first_look_at_which_half_of_the_attacks_succeed() -> None:
    run = {"metrics": {"steps": 100, "exposures": 60}}
    curve = [{"step": "10", "asr": "0.1"}, {"step": "50", "asr": "0.5"}, {"step": "60", "asr": "0.9"}]
    assert MAKE["_onset"](run, curve) == ("50", "30")
    assert MAKE["_onset"](run, curve[:1]) == ("-", "-")
