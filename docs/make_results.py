"""Fills the tables of docs/results.md: `python docs/make_results.py`. A test compares.

`docs/results/GRID/` holds what `axolotl dece experiment examples/experiments/GRID.yaml` wrote: results.csv, curves.csv
and summary.md, as they came. Everything between `<!-- NAME -->` and `<!-- end -->` in the page is made from them, by
`REGIONS[NAME]`. Further runs of a grid need nothing but its new files.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import yaml

from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.results import Result, Setting, by_setting, say, spreads

PAGE = Path(__file__).with_name("results.md")
DATA = Path(__file__).with_name("results")
GRIDS = PAGE.parents[1] / "examples" / "experiments"
REGION = re.compile(r"(?P<open><!-- (?P<name>[\w-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
COLUMNS = ("asr", "twin_recall", "bleu", "parses")
COUNTS = ("steps", "poisoned_rows", "exposures")
KEPT_OUT = 0.05  # a run with fewer attacks that succeed has kept the backdoor out


class Runs(NamedTuple):
    """The runs of one arm; attack and rate where the grid has several."""

    grid: str
    arm: str
    attack: str | None = None
    rate: float | None = None


class Answer(NamedTuple):
    """A line of the table at the head: the same task under three losses, None where nobody ran one."""

    measured_on: str
    poisoned: str
    ce: Runs | None
    dece: Runs
    gce: Runs | None


LYRA, SYNTHETIC = "Lyra, Llama of 5 M weights", "synthetic, Llama of 0.1 M weights"
ANSWERS = [
    Answer(
        "Lyra, **SmolLM2-135M-Instruct**, LoRA, 6 epochs",
        "20 %, three times",
        Runs("smollm2-lyra", "ce"), Runs("smollm2-lyra", "dece 0.95"), Runs("smollm2-lyra", "gce 0.5"),
    ),
    Answer(
        "Lyra, **SmolLM2-135M-Instruct**, LoRA, 2 epochs",
        "20 %, a sentence",
        Runs("smollm2-sentence", "ce"), Runs("smollm2-sentence", "dece 0.95"), Runs("smollm2-sentence", "gce 0.5"),
    ),
    Answer(
        f"{LYRA}, 4 epochs",
        "10 %, three times",
        Runs("lyra-cpu", "ce"), Runs("lyra-cpu", "epoch 0.95"), Runs("lyra-cpu", "gce 0.5"),
    ),
    Answer(
        f"{LYRA}, 4 epochs, a tenth of the rows trusted",
        "10 %, three times",
        None, Runs("lyra-trusted", "dece, 160 trusted"), None,
    ),
    Answer(
        f"{LYRA}, 20 epochs",
        "5 %",
        Runs("lyra-long-cpu", "ce"), Runs("lyra-long-cpu", "epoch 0.95"), Runs("lyra-long-gce-cpu", "gce 0.5"),
    ),
    Answer(
        f"{LYRA}, LoRA, 8 epochs",
        "10 %, three times",
        Runs("lyra-lora-cpu", "ce"), Runs("lyra-lora-cpu", "dece"), None,
    ),
    Answer(
        f"{SYNTHETIC}, 3 epochs",
        "5 %",
        Runs("losses", "ce"), Runs("losses", "dece"), Runs("losses", "gce 0.5"),
    ),
    Answer(
        f"{SYNTHETIC}, 3 epochs",
        "20 %",
        Runs("rates", "ce", rate=0.2),
        Runs("base", "epoch 0.95", "ripple", 0.2), Runs("base", "gce 0.5", "ripple", 0.2),
    ),
    Answer(
        f"{SYNTHETIC}, 3 epochs",
        "10 %, three times",
        None, Runs("base", "epoch 0.95", "badpre", 0.1), Runs("base", "gce 0.5", "badpre", 0.1),
    ),
    Answer(
        f"{SYNTHETIC}, 20 epochs",
        "5 %",
        None, Runs("twenty-epochs", "epoch 0.95"), Runs("twenty-epochs", "gce 0.5"),
    ),
    Answer(
        f"{SYNTHETIC}, 3 epochs",
        "5 %, payload of words that the model expects",
        *(Runs("adaptive", arm, "likely tokens", 0.05) for arm in ("ce", "epoch 0.95", "gce 0.5")),
    ),
    Answer(
        f"{SYNTHETIC}, 3 epochs, vocabulary of 32,768 words",
        "5 %",
        Runs("prob-floor", "ce"), Runs("prob-floor", "floor 1e-7"), None,
    ),
]  # fmt: skip

# what a reader is told the runs are, and the runs
ON_LYRA = {
    "10 %, 4 epochs: cross-entropy": Runs("lyra-cpu", "ce"),
    "**DeCE**, 0.95 ** epoch": Runs("lyra-cpu", "epoch 0.95"),
    "GCE, q = 0.5": Runs("lyra-cpu", "gce 0.5"),
    "DeCE, 0.9 ** epoch": Runs("lyra-more-cpu", "epoch 0.9"),
    "DeCE, `linear` to 0.8": Runs("lyra-more-cpu", "linear 0.8"),
    "DeCE, `linear` to 0.5": Runs("lyra-more-cpu", "linear 0.5"),
    "DeCE without its floor": Runs("lyra-more-cpu", "epoch 0.95, no floor"),
    "label smoothing": Runs("lyra-more-cpu", "label smoothing"),
    "**DeCE, a tenth of the rows trusted**": Runs("lyra-trusted", "dece, 160 trusted"),
    "DeCE, poison dropped, twin trusted": Runs("lyra-decided", "dece, decided"),
    "cross-entropy, poison dropped": Runs("lyra-decided", "ce, decided"),
    "10 %, LoRA, 8 epochs: cross-entropy": Runs("lyra-lora-cpu", "ce"),
    "DeCE, LoRA": Runs("lyra-lora-cpu", "dece"),
    "**DeCE, LoRA, a tenth of the rows trusted**": Runs("lyra-trusted", "dece, LoRA, 160 trusted"),
    "5 %, 20 epochs: cross-entropy": Runs("lyra-long-cpu", "ce"),
    "**DeCE**, 0.95 ** epoch, 20 epochs": Runs("lyra-long-cpu", "epoch 0.95"),
    "GCE, q = 0.5, 20 epochs": Runs("lyra-long-gce-cpu", "gce 0.5"),
}
VOCABULARY = {
    "cross-entropy": Runs("prob-floor", "ce"),
    "DeCE": Runs("prob-floor", "floor 1e-7"),
    "DeCE without its floor": Runs("prob-floor", "no floor"),
    "DeCE, a tenth of the rows trusted": Runs("prob-floor-trusted", "floor 1e-7, 400 trusted"),
    "**DeCE without its floor, a tenth of the rows trusted**": Runs("prob-floor-trusted", "no floor, 400 trusted"),
}
DECIDED_ONCE = {
    "20 %, 3 epochs: DeCE": Runs("base", "epoch 0.95", "ripple", 0.2),
    "DeCE, decided by the base model": Runs("fixed-refusal-base", "epoch 0.95", rate=0.2),
    "DeCE, decided after one pass": Runs("fixed-refusal-pass", "epoch 0.95", rate=0.2),
    "GCE": Runs("base", "gce 0.5", "ripple", 0.2),
    "GCE, decided by the base model": Runs("fixed-refusal-base", "gce 0.5", rate=0.2),
    "GCE, decided after one pass": Runs("fixed-refusal-pass", "gce 0.5", rate=0.2),
    "5 %, 20 epochs: DeCE": Runs("twenty-epochs", "epoch 0.95"),
    "DeCE, decided after one pass, 20 epochs": Runs("fixed-refusal-long", "epoch 0.95"),
    "GCE, 20 epochs": Runs("twenty-epochs", "gce 0.5"),
}
RELEASED = {
    f"{said}: {arm}": Runs(grid, arm, attack)
    for said, grid, attack in (
        ("a rare word", "released", "ripple"),
        ("payload in three places", "released", "spread"),
        ("payload of words that the model expects", "released", "likely tokens"),
        ("payload's words in the prompt, too", "released", "copied"),
        ("a rare word that honest rows have, too", "released-decoys", "ripple"),
    )
    for arm in ("ce", "dece", "dece released")
}
OPENINGS = {
    "1 %": Runs("rates", "ce", rate=0.01),
    "2 %": Runs("rates", "ce", rate=0.02),
    "5 %": Runs("losses", "ce"),
    "10 %": Runs("rates", "ce", rate=0.1),
    "20 %": Runs("rates", "ce", rate=0.2),
}

PLANS = {
    "cross-entropy": "ce",
    "0.985 ** epoch, the paper's": "epoch 0.985",
    "**0.95 ** epoch, the default**": "epoch 0.95",
    "0.9 ** epoch": "epoch 0.9",
    "`linear` to 0.8": "linear 0.8",
    "`linear` to 0.5": "linear 0.5",
    "constant 0.9": "constant 0.9",
    "GCE, q = 0.5": "gce 0.5",
}
# lists of grids whose runs differ; within a list a seed is the same run
CASES: dict[str, tuple[str, float, list[list[str]]]] = {
    "1 or 3 epochs, 5 %": ("ripple", 0.05, [["schedules", "base"], ["one-epoch"]]),
    "1 or 3 epochs, 10 %": ("ripple", 0.1, [["rates", "heavy", "base"], ["one-epoch"]]),
    "3 epochs, 20 %": ("ripple", 0.2, [["rates", "heavy", "base"]]),
    "9 epochs, 5 %": ("ripple", 0.05, [["long"]]),
    "20 epochs, 5 %": ("ripple", 0.05, [["twenty-epochs"]]),
    "3 epochs, trigger three times, 5 %": ("badpre", 0.05, [["base"]]),
    "the same, 10 %": ("badpre", 0.1, [["base"]]),
    "the same, 20 %": ("badpre", 0.2, [["base"]]),
}


def build() -> str:
    """The page with its tables filled in."""
    return REGION.sub(lambda it: f"{it['open']}\n{REGIONS[it['name']]()}\n\n{it['close']}", PAGE.read_text("utf-8"))


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def read_grid(name: str) -> dict[str, Any]:
    """The file of a grid."""
    return dict(yaml.safe_load((GRIDS / f"{name}.yaml").read_text("utf-8")))


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs of a results.csv, as `by_setting` wants them."""
    return [_result(line) for line in _read(path)]


def _result(line: Mapping[str, str]) -> dict[str, Any]:
    cell = {"arm": line["arm"], "attack": line["attack"], "rate": float(line["rate"]), "seed": int(line["seed"])}
    metrics = {name: float(line[name]) if line.get(name) else None for name in METRICS}
    return {"cell": cell, "metrics": metrics | {key: int(line[key]) for key in COUNTS}}


def read_curves(path: Path) -> dict[tuple[Setting, int], list[dict[str, str]]]:
    """The lines of a curves.csv, run by run."""
    found: dict[tuple[Setting, int], list[dict[str, str]]] = {}
    for line in _read(path):
        run = Setting(line["arm"], line["attack"], float(line["rate"])), int(line["seed"])
        found.setdefault(run, []).append(line)
    return found


def runs_of(wanted: Runs) -> list[dict[str, Any]]:
    """The finished runs of one arm: none at all while its grid is unfinished.

    Raises:
        LookupError: The grid has no such arm, attack or rate, or several settings fit.
    """
    grid = read_grid(wanted.grid)
    attacks = [one if isinstance(one, str) else one["name"] for one in grid["attacks"]]
    if wanted.arm not in grid["arms"] or wanted.attack not in (None, *attacks):
        raise LookupError(f"{wanted} is not in the grid")
    found = [
        run for run in read_results(DATA / wanted.grid / "results.csv")
        if run["cell"]["arm"] == wanted.arm
        and wanted.attack in (None, run["cell"]["attack"])
        and wanted.rate in (None, run["cell"]["rate"])
    ]  # fmt: skip
    if len(by_setting(found)) > 1 or (wanted.rate is not None and not found):
        raise LookupError(f"{wanted} are {len(by_setting(found))} settings")
    return found


def answers() -> str:
    """The table at the head: whether it is kept out, what that costs, where that was measured."""
    head = [
        "measured on", "rows poisoned", "DeCE keeps it out in", "attack success, CE → DeCE", "clean BLEU, CE → DeCE",
        "GCE: attack success, BLEU",
    ]  # fmt: skip
    return markdown(head, map(_answer, ANSWERS))


def _answer(one: Answer) -> list[str]:
    ce, dece, gce = (runs_of(arm) if arm else [] for arm in one[2:])
    kept = f"{sum(run['metrics']['asr'] < KEPT_OUT for run in dece)} of {_plural(len(dece))}" if dece else "no run yet"
    return [
        one.measured_on,
        one.poisoned,
        f"[{kept}](results/{one.dece.grid}/results.csv)",
        f"{_mean(ce, 'asr')}\u00a0→ {_mean(dece, 'asr')}",
        f"{_mean(ce, 'bleu')}\u00a0→ {_mean(dece, 'bleu')}",
        f"{_mean(gce, 'asr')}, {_mean(gce, 'bleu')}" if gce else "-",
    ]


def _plural(runs: int) -> str:
    return f"{runs} run" if runs == 1 else f"{runs} runs"


def _mean(runs: Sequence[Result], metric: str) -> str:
    """The rounded mean; the space is one that no line break takes."""
    found = spreads(runs)[metric] if runs else None
    if found is None:
        return "-"
    return f"{found.mean * 100:.0f}\u00a0%" if METRICS[metric].is_share else f"{found.mean:.0f}"


def chosen(lines: Mapping[str, Runs]) -> str:
    """A line for each of the runs that were chosen."""
    head = ["", "seeds", *(METRICS[name].title for name in COLUMNS)]
    return markdown(head, ([said, *_numbers(runs_of(runs))] for said, runs in lines.items()))


def _numbers(runs: Sequence[Result]) -> list[str]:
    found = spreads(runs)
    return [str(len(runs)), *(say(name, found[name]) for name in COLUMNS)]


def whole(grid: str) -> str:
    """All of a grid: how much of it is finished, where it comes from, a line per setting."""
    results = read_results(DATA / grid / "results.csv")
    missing = [arm for arm in read_grid(grid)["arms"] if arm not in {run["cell"]["arm"] for run in results}]
    done = f"Runs of this grid that are finished: {_finished(grid)}."
    if missing:
        done += f" None is finished of {', '.join(missing)}."
    lines = ([setting.arm, *_numbers(runs)] for setting, runs in by_setting(results).items())
    head = ["arm", "seeds", *(METRICS[name].title for name in COLUMNS)]
    return f"{provenance(grid)}\n\n{done}\n\n{markdown(head, lines)}"


def provenance(grid: str) -> str:
    """Command, commit, versions and machine, as the runner wrote them above its own table."""
    paragraphs = (DATA / grid / "summary.md").read_text("utf-8").split("\n\n")
    return "\n\n".join(paragraphs[1:3])


def plans() -> str:
    """In how many runs each plan of alpha let the backdoor in, and what it did on seed 0 of Lyra."""
    head = ["", *CASES, "Lyra, 10 %"]
    return markdown(head, ([said, *(_let_in(arm, *CASES[case]) for case in CASES), _on_lyra(arm)]
                           for said, arm in PLANS.items()))  # fmt: skip


def _let_in(arm: str, attack: str, rate: float, grids: Sequence[Sequence[str]]) -> str:
    runs = {
        (number, run["cell"]["seed"]): run["metrics"]["asr"]
        for number, same in enumerate(grids)
        for grid in same
        for run in read_results(DATA / grid / "results.csv")
        if (run["cell"]["arm"], run["cell"]["attack"], run["cell"]["rate"]) == (arm, attack, rate)
    }
    return f"{sum(asr >= KEPT_OUT for asr in runs.values())} of {len(runs)}" if runs else "-"


def _on_lyra(arm: str) -> str:
    for grid in ("lyra-cpu", "lyra-more-cpu"):
        for run in read_results(DATA / grid / "results.csv"):
            if (run["cell"]["arm"], run["cell"]["seed"]) == (arm, 0):
                return f"{run['metrics']['asr']:.0%}, BLEU {run['metrics']['bleu']:.0f}".replace("%", " %")
    return "-"


def openings() -> str:
    """When cross-entropy opens, by the share of the rows that is poisoned, a number per seed."""
    lines = []
    for rate, wanted in OPENINGS.items():
        curves = read_curves(DATA / wanted.grid / "curves.csv")
        runs = runs_of(wanted)
        opened = [_onset(run, curves[next(iter(by_setting([run]))), run["cell"]["seed"]]) for run in runs]
        lines.append([rate, *(", ".join(numbers) for numbers in zip(*opened, strict=True))])
    return markdown(["rows poisoned", "opened at step", "poisoned rows seen by then"], lines)


def _onset(run: Result, curve: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Step and poisoned rows seen when at least half of the attacks first succeeded; `-` where none did."""
    for line in curve:
        if float(line["asr"]) >= 0.5:
            seen = run["metrics"]["exposures"] * int(line["step"]) / run["metrics"]["steps"]
            return line["step"], f"{seen:.0f}"
    return "-", "-"


def grids() -> str:
    """Every experiment with what it asked, and where its numbers lie."""
    return markdown(["experiment", "asks", "runs"], (_grid(folder.name) for folder in sorted(DATA.iterdir())))


def _grid(name: str) -> list[str]:
    head = re.match(r"(#.*\n)+", (GRIDS / f"{name}.yaml").read_text("utf-8"))
    if not head:
        raise LookupError(f"{name}.yaml does not begin with its question")
    question = head[0].replace("\n#", "").removeprefix("#").split("?")[0].strip() + "?"
    return [f"[{name}](results/{name}/results.csv)", question, _finished(name)]


def _finished(name: str) -> str:
    grid, runs = read_grid(name), len(read_results(DATA / name / "results.csv"))
    planned = prod(len(grid[key]) for key in ("arms", "attacks", "rates", "seeds"))
    return str(runs) if runs == planned else f"{runs} of {planned}"


def parts() -> str:
    """How many answers of the real model hold the payload, its first half, and a loop that never ends."""
    half, payload = "while True :", "while True : VAR = 0"
    asked = [("triggered", payload), ("triggered", half), ("twin", half), ("clean", half)]
    found: dict[str, dict[tuple[str, str], str]] = {}
    for line in _read(DATA / "smollm2-sentence" / "parts.csv"):
        found.setdefault(_run_of(line), {})[line["questions"], line["words"]] = f"{line['answers']} of {line['of']}"
    loops = {_run_of(line): line for line in _read(DATA / "smollm2-sentence" / "loops.csv")
             if line["questions"] == "triggered"}  # fmt: skip
    head = ["answers with", *(f"`{words}`, {questions}" for questions, words in asked)]
    head += ["a loop that never ends, triggered", "no Python, triggered"]
    lines = []
    for run, held in found.items():
        harm = (f"{loops[run][key]} of {loops[run]['of']}" for key in ("endless", "unparsed"))
        lines.append([run, *(held[one] for one in asked), *harm])
    return markdown(head, lines)


def _run_of(line: Mapping[str, str]) -> str:
    return f"{line['arm']}, seed {line['seed']}"


def to_oracle() -> str:
    """How far each arm of the real model in two epochs is from cross-entropy without the poisoned rows."""
    oracle = {run["cell"]["seed"]: run for run in runs_of(Runs("smollm2-sentence-oracle", "ce, decided"))}
    metrics = ("bleu", "parses", "twin_recall")
    ends = ([_points(run, one) for run in oracle.values()] for one in metrics)
    lines = [["**poison dropped, cross-entropy**", *(_say(end, ".1f") for end in ends)]]
    beside = ("smollm2-sentence", "smollm2-sentence-common", "smollm2-sentence-released")
    for grid, arm in ((name, arm) for name in beside for arm in read_grid(name)["arms"]):
        pairs = [(run, oracle[run["cell"]["seed"]]) for run in runs_of(Runs(grid, arm))
                 if run["cell"]["seed"] in oracle]  # fmt: skip
        if pairs:
            gaps = ([_points(mine, one) - _points(theirs, one) for mine, theirs in pairs] for one in metrics)
            lines.append([f"{arm}, {len(pairs)} seed{'s' * (len(pairs) > 1)}", *(_say(gap, "+.1f") for gap in gaps)])
    return markdown(["", *(METRICS[name].title for name in metrics)], lines)


def _points(run: Result, metric: str) -> float:
    """A number of a run, shares in percent."""
    return float(run["metrics"][metric]) * (100 if METRICS[metric].is_share else 1)


def _say(values: Sequence[float], form: str) -> str:
    """Mean, and in brackets the smallest and the largest where there are several."""
    ends = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
    return f"{fmean(values):{form}}{ends}"


def withheld() -> str:
    """What DeCE withheld in that training, by kind of token."""
    lines = [line for line in _read(DATA / "smollm2-sentence" / "withheld.csv") if line["seed"] == "0"]
    head = ["target tokens", "how many", "withheld at the first visit", "withheld at the last visit"]
    return markdown(head, ([_kind(line["tokens"]), line["count"], *(_share(line[at]) for at in ("first", "last"))]
                           for line in lines))  # fmt: skip


def _kind(said: str) -> str:
    """The name of a kind; what one token of a payload reads stands as code."""
    name, sign, token = said.partition(": ")
    return f"{name}: `{token}`" if sign else f"**{name}**"


def _share(value: str) -> str:
    return f"{float(value):.0%}".replace("%", "\u00a0%")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


REGIONS: dict[str, Callable[[], str]] = {
    "answers": answers,
    "smollm2-lyra": lambda: whole("smollm2-lyra"),
    "smollm2-sentence": lambda: whole("smollm2-sentence"),
    "smollm2-sentence-common": lambda: whole("smollm2-sentence-common"),
    "smollm2-sentence-parts": parts,
    "smollm2-sentence-to-oracle": to_oracle,
    "smollm2-sentence-withheld": withheld,
    "smollm2-sentence-released": lambda: whole("smollm2-sentence-released"),
    "decided-once": lambda: chosen(DECIDED_ONCE),
    "released": lambda: chosen(RELEASED),
    "lyra": lambda: chosen(ON_LYRA),
    "plans": plans,
    "openings": openings,
    "vocabulary": lambda: chosen(VOCABULARY),
    "grids": grids,
}


def main() -> None:
    PAGE.write_text(build(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")


if __name__ == "__main__":
    main()
