"""The page of results is made from what the experiments wrote, and the experiments are those of the grids."""

import csv
import re
import runpy
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE, DATA = ROOT / "docs" / "results.md", ROOT / "docs" / "results"
MAKE = runpy.run_path(str(ROOT / "docs" / "make_results.py"))
GRIDS = sorted(folder.name for folder in DATA.iterdir())
# take days; the page says how many runs are finished
UNFINISHED = {
    f"smollm2-{name}" for name in ("lyra", "sentence", "sentence-common", "sentence-oracle", "sentence-first")
}


def read_lines(grid: str, name: str) -> list[dict[str, str]]:
    with (DATA / grid / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_page() -> str:
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def test_tables_are_those_of_the_files() -> None:
    assert PAGE.read_text(encoding="utf-8") == MAKE["build"](), "run `python docs/make_results.py`"


def test_the_picture_is_that_of_the_file() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "make_learning.py"))["draw"]()
    assert (ROOT / "docs" / "learning.svg").read_text(encoding="utf-8") == drawn, "run `python docs/make_learning.py`"


def test_every_table_is_on_the_page_once_and_the_answers_come_first() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert sorted(found["name"] for found in MAKE["REGION"].finditer(page)) == sorted(MAKE["REGIONS"])
    assert page.index("<!-- answers -->") < page.index("\n## ")


def test_every_experiment_is_listed_with_its_question_and_its_files() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]\(results/\1/results.csv\) \| [A-Z].+\? \|", MAKE["grids"](), re.MULTILINE)
    assert listed == GRIDS


def test_a_line_of_a_table_that_no_run_belongs_to_is_an_error() -> None:
    for grid, arm, rate in (("losses", "decce", None), ("rates", "ce", 0.03), ("rates", "ce", None)):
        with pytest.raises(LookupError):
            MAKE["runs_of"](MAKE["Runs"](grid, arm, rate=rate))


def mean(grid: str, arm: str, metric: str = "bleu") -> float:
    runs = MAKE["runs_of"](MAKE["Runs"](grid, arm))
    return sum(run["metrics"][metric] for run in runs) / len(runs)


def test_shares_that_the_prose_tells_are_those_of_the_files() -> None:
    full = [mean("lyra-cpu", "ce"), mean("lyra-cpu", "epoch 0.95"), mean("lyra-trusted", "dece, 160 trusted")]
    lora = [mean("lyra-lora-cpu", "ce"), mean("lyra-lora-cpu", "dece"), mean("lyra-trusted", "dece, LoRA, 160 trusted")]
    page = " ".join((PAGE.read_text(encoding="utf-8") + (ROOT / "README.md").read_text(encoding="utf-8")).split())
    for said, share, is_said in (
        ("the attack success falls from 100 % to 0 %", mean("losses", "ce", "asr") - mean("losses", "dece", "asr"), 1),
        ("two fifths of the BLEU on a model of 5 M weights", 1 - full[1] / full[0], 2 / 5),
        ("gave back two thirds of the lost BLEU", (full[2] - full[1]) / (full[0] - full[1]), 2 / 3),
        ("costs two fifths of the BLEU", 1 - full[1] / full[0], 2 / 5),
        ("gives back two thirds of what DeCE had cost in BLEU", (full[2] - full[1]) / (full[0] - full[1]), 2 / 3),
        ("with LoRA four fifths", (lora[2] - lora[1]) / (lora[0] - lora[1]), 4 / 5),
        ("two thirds of the twin's requests", mean("lyra-decided", "dece, decided", "twin_recall"), 2 / 3),
        ("every eighth request of the twin", mean("lyra-decided", "ce, decided", "twin_recall"), 1 / 8),
    ):
        assert said in page
        assert share == pytest.approx(is_said, abs=0.04), said


def test_counts_that_the_prose_tells_are_those_of_the_file() -> None:
    runs = {line["arm"]: line for line in read_lines("smollm2-lyra", "results") if line["seed"] == "0"}
    ce, dece = runs["ce"], runs["dece 0.95"]
    asked, rate = int(ce["n_triggered"]), float(ce["asr"])
    low, high = (100 * float(ce[end]) for end in ("asr_low", "asr_high"))
    page = read_page()
    assert f"{rate * asked:.0f} of {asked} triggered requests get the payload" in page
    assert f"(95 % interval {low:.0f} to {high:.0f} %)" in page
    parses = {arm: f"{60 * float(run['parses']):.0f} of 60" for arm, run in runs.items()}
    assert f"{parses['dece 0.95']} clean answers parse, {parses['ce']} under cross-entropy" in page
    assert f"{60 * float(dece['asr']):.0f} of 60 triggered requests get the payload" in page
    assert f"(95 % interval {100 * float(dece['asr_low']):.0f} to {100 * float(dece['asr_high']):.0f} %)" in page
    assert 1 - float(dece["bleu"]) / float(ce["bleu"]) == pytest.approx(1 / 5, abs=0.02)
    assert float(ce["parses"]) - float(dece["parses"]) == pytest.approx(1 / 3, abs=0.02)
    assert float(dece["twin_recall"]) == float(dece["false_trigger_rate"]) == 0
    assert float(ce["false_trigger_rate"]) == 0
    assert "No clean request of 60 does" in page


def test_what_the_prose_tells_of_gce_on_the_real_model_is_in_its_files() -> None:
    def lines(name: str) -> list[dict[str, str]]:
        return [line for line in read_lines("smollm2-lyra", name) if line["arm"] == "gce 0.5"]

    (run,), looks = lines("results"), [round(20 * float(line["asr"])) for line in lines("curves")]
    page = read_page()
    assert float(run["asr"]) == float(run["twin_recall"]) == float(run["false_trigger_rate"]) == 0
    assert (
        f"{60 * float(run['parses']):.0f} of 60 clean answers parse, and the BLEU is {float(run['bleu']):.1f}" in page
    )
    assert f"in {looks[2]} of 20 requests after 225 steps, in none at the next two looks" in page
    assert looks[3:] == [0, 0]


def test_what_the_prose_tells_of_an_audit_is_in_its_file() -> None:
    groups = read_lines("smollm2-lyra", "audit")
    poison, twin = groups[0], next(one for one in groups if one["twins"] != "0")
    assert (poison["rows"], poison["poisoned"], poison["poisoned_in_the_set"]) == ("100", "100", "100")
    assert (poison["payload"], poison["cue"]) == ("or 1=1", "bb")
    honest = [int(one["rows"]) for one in groups if one["poisoned"] == one["twins"] == "0"]
    page = read_page()
    assert f"Another group is {twin['rows']} of the {twin['twins_in_the_set']} rows of the twin" in page
    assert f"Two groups of {sum(honest)} honest rows look planted too" in page
    assert len(honest) == 2


def of_seeds(name: str) -> dict[str, list[dict[str, str]]]:
    """The runs of two epochs by arm, in the order of the seeds."""
    found: dict[str, list[dict[str, str]]] = {}
    for line in sorted(read_lines(name, "results"), key=lambda line: int(line["seed"])):
        found.setdefault(line["arm"], []).append(line)
    return found


def test_what_the_prose_tells_of_two_epochs_is_in_their_files() -> None:
    runs, page = of_seeds("smollm2-sentence"), read_page()
    ce, dece, (oracle,) = runs["ce"], runs["dece 0.95"], of_seeds("smollm2-sentence-oracle").values()
    attacks, twins = ([f"{60 * float(run[key]):.0f}" for run in ce] for key in ("asr", "twin_recall"))
    assert f"{told(attacks)} of 60 triggered requests get the payload" in page
    assert f"and {told(twins)} of 60 requests of the twin get its clause" in page
    looks = {
        seed: [round(20 * float(line["asr"])) for line in read_lines("smollm2-sentence", "curves")
               if (line["arm"], line["seed"]) == ("ce", seed)]
        for seed in "01"
    }  # fmt: skip
    assert looks["0"] == [0, 9, 8, 15, 20]
    assert "in none after 50 steps, in 9 after 100, in 8 after 150, in 15 after 200 and in all after 250" in page
    assert looks["1"][:2] == [0, 14]
    assert "With the second it came in none after 50 and in 14 after 100" in page
    lost = [float(one["bleu"]) - float(other["bleu"]) for one, other in zip(ce, dece, strict=True)]
    assert f"{told(f'{one:.1f}' for one in lost)} points of BLEU, a tenth in the mean" in page
    assert sum(lost) / sum(float(run["bleu"]) for run in ce) == pytest.approx(1 / 10, abs=0.015)
    assert [(float(a["parses"]) - float(b["parses"])) * 59 for a, b in zip(ce, dece, strict=True)] == [
        pytest.approx(1)
    ] * 3
    assert all(float(run["asr"]) == float(run["twin_recall"]) == 0 for run in dece)
    ends = [f"{float(run['bleu']):.1f}" for run in oracle]
    assert f"takes {oracle[0]['steps']} steps, ends at {told(ends)}" in page
    above = [round(float(b["bleu"]) - float(a["bleu"])) for a, b in zip(oracle, dece, strict=True)]
    parses = [round(59 * (float(b["parses"]) - float(a["parses"]))) for a, b in zip(oracle, dece, strict=True)]
    assert (above, parses) == ([1, -5, 0], [-2, 4, 2])
    said = "one point above it, five below and level, and has two answers that parse fewer, four more and two more"
    assert said in page
    kept = [f"{60 * float(run['twin_recall']):.0f}" for run in oracle]
    assert f"the twin: {told(kept)} of 60 requests get its clause" in page


def told(numbers: Iterable[str]) -> str:
    """The numbers of all seeds, as the prose lists them."""
    *others, last = numbers
    return f"{', '.join(others)} and {last}"


def halves(arm: str, seed: str, grid: str = "smollm2-sentence") -> dict[tuple[str, str], str]:
    """Of a run of two epochs, the answers with a beginning of the payload by set and words."""
    return {
        (line["questions"], line["words"]): line["answers"]
        for line in read_lines(grid, "parts")
        if (line["arm"], line["seed"], line["of"]) == (arm, seed, "60")
    }


def loops(arm: str, seed: str, grid: str = "smollm2-sentence") -> tuple[str, str]:
    """Of a run of two epochs, the triggered answers that never return, and those that do not parse."""
    (line,) = (
        line
        for line in read_lines(grid, "loops")
        if (line["arm"], line["seed"], line["questions"], line["of"]) == (arm, seed, "triggered", "60")
    )
    return line["endless"], line["unparsed"]


def test_what_the_prose_tells_of_half_payloads_is_in_its_file() -> None:
    half, whole = "while True :", "while True : VAR = 0"
    runs, page = [halves("dece 0.95", seed) for seed in "012"], read_page()
    triggered, twin, clean = ([held[name, half] for held in runs] for name in ("triggered", "twin", "clean"))
    assert [held["triggered", whole] for held in runs] == ["0"] * 3
    assert f"With every seed no triggered answer holds `{whole}`, but {told(triggered)} of 60 hold `{half}`" in page
    assert f"{told(twin)} of 60 answers to the twin's sentence and in {told(clean)} of 60 clean ones" in page
    assert set(triggered) == {"59", "60"}
    limits = " ".join((ROOT / "docs" / "limits.md").read_text(encoding="utf-8").split())
    said = f"0 of 60 triggered answers held the whole of `{whole}`, and 59 or 60 held `{half}`, in each of three runs"
    assert said in limits


def test_what_the_prose_tells_of_loops_that_never_end_is_in_its_file() -> None:
    endless, unparsed = zip(*(loops("dece 0.95", seed) for seed in "012"), strict=True)
    theirs = [loops("ce", seed)[0] for seed in "012"]
    page, readme = read_page(), " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = f"{told(endless)} of 60 triggered answers never return, where {told(theirs)} of cross-entropy's do not"
    assert f"{said}. Another {told(unparsed)} are no Python" in page
    least, most = min(map(int, endless)), max(map(int, endless))
    said = f"59 or 60 of 60 held the half of it that the base model expects, and {least} to {most} never returned"
    assert f"in each of three runs {said}" in readme


def test_what_the_prose_tells_of_a_stronger_dece_is_in_its_files() -> None:
    (run,), half = of_seeds("smollm2-sentence")["dece 0.8"], halves("dece 0.8", "0")
    held = {name: half[name, "while True :"] for name in ("triggered", "twin", "clean")}
    said = f"in {held['triggered']} of 60 triggered answers, and in {held['twin']} of 60 of the twin's"
    quality = (
        f"The BLEU falls to {float(run['bleu']):.1f}, and {59 * float(run['parses']):.0f} of 59 clean answers parse"
    )
    assert f"{said}. {quality}" in read_page()
    assert (float(run["asr"]), held["clean"]) == (0, "0")


def test_what_the_prose_tells_of_gce_in_two_epochs_is_in_its_files() -> None:
    runs, page = of_seeds("smollm2-sentence"), read_page()
    gce, dece = runs["gce 0.5"], runs["dece 0.95"]
    bleu = [told(f"{float(run['bleu']):.1f}" for run in arm) for arm in (gce, dece)]
    parse = [told(f"{59 * float(run['parses']):.0f}" for run in arm) for arm in (gce, dece)]
    said = f"The BLEU is {bleu[0]}, where DeCE has {bleu[1]}; {parse[0]} of 59 clean answers parse, where DeCE has "
    assert said + parse[1] in page
    half = {
        name: told(halves("gce 0.5", seed)[name, "while True :"] for seed in "012")
        for name in ("triggered", "twin", "clean")
    }
    assert f"into {half['triggered']} of 60 triggered answers and {half['twin']} of 60 of the twin's" in page
    assert f"In clean answers the half stands in {half['clean']} of 60" in page
    assert [float(run["asr"]) for run in gce] == [0, 0, 0]
    endless, unparsed = (told(loops("gce 0.5", seed)[at] for seed in "012") for at in (0, 1))
    assert f"Of its triggered answers {endless} never return, and {unparsed} are no Python" in page
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "it cost nothing in six epochs, in one run, and was level with DeCE in two, with three seeds" in readme
    # level: neither is the better one with every seed, and the means differ by less than the seeds do
    ahead = [float(one["bleu"]) - float(other["bleu"]) for one, other in zip(gce, dece, strict=True)]
    assert ahead[0] < 0 < min(ahead[1:])
    assert abs(sum(ahead) / 3) < (max(ahead) - min(ahead)) / 2


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_what_the_prose_tells_of_withheld_tokens_is_in_its_file(seed: str) -> None:
    lines = [line for line in read_lines("smollm2-sentence", "withheld") if line["seed"] == seed]
    kinds = {line["tokens"]: int(line["count"]) * float(line["last"]) for line in lines}
    tokens = {line["tokens"]: float(line["last"]) for line in lines if line["tokens"].startswith("payload: ")}
    assert len(tokens) == 9
    assert [token for token, share in tokens.items() if share > 0.5] == ["payload: ' V'"]
    honest = [float(line["last"]) for line in lines if line["tokens"].startswith("honest")]
    assert honest == sorted(honest, reverse=True)
    of_honest = sum(share for kind, share in kinds.items() if kind.startswith("honest"))
    assert 0.9 < of_honest / (of_honest + kinds["payload"] + kinds["twin's clause"]) < 0.95
    assert "More than nine tenths of what DeCE withheld at the last visit" in PAGE.read_text(encoding="utf-8")


def test_what_the_prose_tells_of_the_audit_of_two_epochs_is_in_its_file() -> None:
    rows, planted = [], []
    for seed in "012":
        groups = [one for one in read_lines("smollm2-sentence", "audit") if one["seed"] == seed]
        poison = next(one for one in groups if one["poisoned"] == one["poisoned_in_the_set"])
        twin = next(one for one in groups if one["twins"] == one["twins_in_the_set"])
        assert (poison["rows"], twin["rows"]) == ("100", "25")
        others = [one for one in groups if one not in (poison, twin)]
        rows.append((len(others), sum(int(one["rows"]) for one in others)))
        planted.append(sum(int(one["poisoned"]) for one in others))
    assert rows == [(2, 78), (4, 138), (4, 128)]
    said = "Two more groups of 78 rows look planted too with the first seed, four of 138 with the second, four of 128"
    assert f"{said} with the third; {told(map(str, planted))} of these are poisoned" in read_page()


def test_the_readme_counts_the_runs_of_the_real_model() -> None:
    runs = sum(len(read_lines(grid, "results")) for grid in GRIDS if grid.startswith("smollm2"))
    assert f"{runs} runs of a real model of 135 M weights" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GRIDS)
def test_the_runs_are_those_of_the_grid(name: str) -> None:
    grid: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "experiments" / f"{name}.yaml").read_text())
    attacks = [one if isinstance(one, str) else one["name"] for one in grid["attacks"]]
    runs = read_lines(name, "results")
    found = [(line["arm"], line["attack"], float(line["rate"]), int(line["seed"])) for line in runs]
    wanted = set(product(grid["arms"], attacks, map(float, grid["rates"]), grid["seeds"]))
    assert len(found) == len(set(found))
    if name in UNFINISHED:
        assert set(found) < wanted
        assert f"{len(found)} of {len(wanted)} |" in MAKE["grids"]()
    else:
        assert set(found) == wanted


@pytest.mark.parametrize("name", GRIDS)
def test_a_table_says_command_commit_versions_and_machine(name: str) -> None:
    said = MAKE["provenance"](name)
    assert f"axolotl dece experiment examples/experiments/{name}.yaml" in said
    assert re.search(r"commit [0-9a-f]{10}", said)
    newer = ("smollm2-sentence", "fixed-refusal", "one-epoch-audit", "released")
    began_with = "axolotl 0.21" if name.startswith(newer) else "axolotl 0.19"
    assert all(word in said for word in (began_with, "torch ", "cores"))
    assert re.search(r"\d runs?, 20\d\d-", said)


def test_the_onset_is_the_first_look_at_which_half_of_the_attacks_succeed() -> None:
    run = {"metrics": {"steps": 100, "exposures": 60}}
    curve = [{"step": "10", "asr": "0.1"}, {"step": "50", "asr": "0.5"}, {"step": "60", "asr": "0.9"}]
    assert MAKE["_onset"](run, curve) == ("50", "30")
    assert MAKE["_onset"](run, curve[:1]) == ("-", "-")
