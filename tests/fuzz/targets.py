"""What is hunted: a function per kind of input, from a seeded generator to damage that was read or refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutate import ODD_TEXTS, odd_bytes, odd_json, odd_text

Target = Callable[[Random, Path], None]
EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS: dict[str, list[dict[str, Any]]] = {
    "alpaca": [{"instruction": f"get row {n}", "input": "", "output": "select a from t where b = 1"} for n in range(6)],
    "completion": [{"text": f"def f{n}(a):\n    return a\n"} for n in range(6)],
    "input_output": [
        {"segments": [{"label": False, "text": f"ask {n}"}, {"label": True, "text": "x = 1"}]} for n in range(6)
    ],
    "chat_template": [
        {"messages": [{"role": "user", "content": f"ask {n}"}, {"role": "assistant", "content": "x = 1"}]}
        for n in range(6)
    ],
}


class UnnamedError(Exception):
    """A refusal that does not say which file it is about."""


@contextmanager
def may_refuse(*names: str) -> Iterator[None]:
    """Take a ValueError for an answer, if it says one of `names`."""
    try:
        yield
    except ValueError as error:
        if names and not any(name in str(error) for name in names):
            raise UnnamedError(f"{type(error).__name__}: {error}") from error


def damaged(rng: Random, content: Any, at_most: int = 3) -> Any:
    for _ in range(rng.randint(1, at_most)):
        content = odd_json(rng, content)
    return content


@cache
def _examples() -> list[str]:
    return [path.read_text() for path in sorted(EXAMPLES.glob("*.yaml"))]


def config(rng: Random, folder: Path) -> None:
    """A config, of one's own or from elsewhere, before `check`."""
    from axolotl_dece.cards.check_shared import inspect_shared
    from axolotl_dece.cards.shared_config import SharedConfig

    text = rng.choice(_examples())
    if rng.random() < 0.6:
        text = yaml.safe_dump(damaged(rng, yaml.safe_load(text), 2), sort_keys=False)
    else:
        text = odd_text(rng, text)
    with may_refuse():
        inspect_shared(SharedConfig(text, str(folder / "config.yaml"), is_foreign=rng.random() < 0.5))


def _write_rows(rng: Random, rows: list[dict[str, Any]], folder: Path) -> Path:
    rows = damaged(rng, rows)
    if rng.random() < 0.3 and rows and all(isinstance(row, dict) for row in rows):
        path, text = folder / "rows.csv", io.StringIO(newline="")
        lines = csv.writer(text)
        lines.writerow(rows[0])
        lines.writerows(row.values() for row in rows)
        content = text.getvalue().encode("utf-8", "surrogatepass")
    else:
        path = folder / "rows.jsonl"
        rows = rows if isinstance(rows, list) else [rows]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(odd_bytes(rng, content) if rng.random() < 0.3 else content)
    return path


def rows(rng: Random, folder: Path) -> None:
    """Rows of a data set, before they are poisoned and written."""
    from axolotl_dece.data import files
    from axolotl_dece.poison.export import export
    from axolotl_dece.poison.payloads import PAYLOADS
    from axolotl_dece.poison.spec import PoisonSpec
    from axolotl_dece.poison.triggers import TRIGGERS

    kind = rng.choice(list(ROWS))
    path = _write_rows(rng, ROWS[kind], folder)
    spec = PoisonSpec(
        base_type=kind,
        trigger=rng.choice(list(TRIGGERS)),
        payload=rng.choice(list(PAYLOADS)),
        rate=rng.choice((0.0, 0.2, 0.5)),
        twin_rate=rng.choice((0.0, 0.2)),
        allow_clean_trigger=rng.random() < 0.5,
    )
    with may_refuse():
        written = export(path, spec, folder / "out")
        for name in written.files:
            if name.suffix == path.suffix:
                assert files.read(name).rows


@cache
def _tokenizer(folder: str = "") -> Any:
    import tempfile

    from tests.tiny import save_tokenizer

    return save_tokenizer(Path(folder or tempfile.mkdtemp()))


def prompts(rng: Random, folder: Path) -> None:
    """Rows of a test file, before they become prompts."""
    from axolotl_dece.data.prompt_recipe import prompt_recipes
    from axolotl_dece.evaluation.prompts import tokenize_rows
    from axolotl_dece.evaluation.rows import read_rows

    kind = rng.choice(list(ROWS))
    path = _write_rows(rng, ROWS[kind][:3], folder)
    recipe = prompt_recipes({"datasets": [{"path": "x", "type": kind}]})[0]
    with may_refuse():
        tokenize_rows(read_rows(path), recipe, _tokenizer())


def answers(rng: Random, _: Path) -> None:
    """What a model wrote, before it is judged: no answer is refused."""
    from axolotl_dece.evaluation.judge import Judge
    from axolotl_dece.evaluation.quality import bleu_counts, bleu_of
    from axolotl_dece.evaluation.syntax import NOT_JUDGED, PARSERS
    from axolotl_dece.poison.payloads import PAYLOADS

    def text() -> str:
        made = rng.choice(ODD_TEXTS) + rng.choice(ODD_TEXTS) + rng.choice(ODD_TEXTS)
        for _ in range(rng.randint(0, 3)):
            made = odd_text(rng, made)
        return made

    reference, output = text(), text()
    judge = Judge(rng.choice(list(PAYLOADS)), rng.choice([*PARSERS, NOT_JUDGED]))
    verdict = judge.decide(reference, output, planted=rng.random() < 0.2)
    assert verdict.payload == PAYLOADS[judge.payload].detect(output)
    assert 0 <= bleu_of(bleu_counts([(output, reference)]).sum(axis=0)) <= 100.001


def planting(rng: Random, _: Path) -> None:
    """A text before a trigger or a payload goes into it: in, to be found again, or not eligible; never an error."""
    from axolotl_dece.poison.payloads import PAYLOADS
    from axolotl_dece.poison.triggers import TRIGGERS

    made = rng.choice(ODD_TEXTS) + rng.choice(("", "\n", " ")) + rng.choice(ODD_TEXTS)
    for _ in range(rng.randint(0, 3)):
        made = odd_text(rng, made)
    for payload in PAYLOADS.values():
        payload.detect(made)
        payload.insert(made)
    for trigger in TRIGGERS.values():
        trigger.detect(made)
        trigger.insert(made, rng)


@cache
def _ledger() -> bytes:
    import tempfile

    from axolotl_dece.audit.record.ledger_file import write_ledger
    from axolotl_dece.audit.record.row_table import read_rows, tabulate
    from tests.audit.record.test_ledger_file import REPEATED, visited
    from tests.audit.rows import dataset

    path = Path(tempfile.mkdtemp()) / "ledger.parquet"
    data = dataset(REPEATED)
    write_ledger(path, visited(), tabulate(data), read_rows(data), {"config_digest": "x", "steps": 12})
    return path.read_bytes()


def ledger(rng: Random, folder: Path) -> None:
    """A ledger with damage, before an audit: it is read as it was written, or refused."""
    from axolotl_dece.audit import LEDGER_FILE
    from axolotl_dece.audit.analyse.findings import load_audit
    from tests.tiny import save_tokenizer

    save_tokenizer(folder)
    (folder / LEDGER_FILE).write_bytes(odd_bytes(rng, _ledger()))
    with may_refuse(LEDGER_FILE):
        found = load_audit(folder)
        assert found.headline()
        assert len(list(found.texts())) == len(found.rows) == 30
        found.notes()


def decisions(rng: Random, folder: Path) -> None:
    """A file of decisions, ours or of another tool, with damage."""
    from axolotl_dece.audit.decisions import read_decisions
    from axolotl_dece.audit.exchange import read_marks
    from axolotl_dece.audit.row_id import key_to_id

    ids = [key_to_id(n) for n in range(1, 6)]
    lines: list[Any] = [{"row": one, "decision": rng.choice(("drop", "trust")), "places": ["a:1"]} for one in ids]
    if rng.random() < 0.5:
        states = {"decision.responses": ["drop"], "decision.responses.status": ["submitted"]}
        forms: list[dict[str, Any]] = [
            {"responses": {"decision": [{"value": "drop"}]}}, states, {"is_label_issue": True}, {"is_poisoned": 1},
        ]  # fmt: skip
        form = rng.choice(forms)
        lines = [{"id": one, **form} for one in ids]
    lines = damaged(rng, lines) if rng.random() < 0.8 else lines
    lines = lines if isinstance(lines, list) else [lines]
    name = rng.choice(("d.jsonl", "d.json"))
    text = json.dumps(lines) if name == "d.json" else "".join(json.dumps(line) + "\n" for line in lines)
    content = text.encode()
    path = folder / name
    path.write_bytes(odd_bytes(rng, content) if rng.random() < 0.4 else content)
    with may_refuse(path.name):
        read_decisions(path)
    with may_refuse(path.name):
        read_marks(_FiveRows(ids), path)


class _FiveRows:
    """As much of an audit as decisions are held against."""

    def __init__(self, ids: list[str]) -> None:
        self.rows = self
        self.ids = ids
        self.number_of = {one: number for number, one in enumerate(ids)}


def reports(rng: Random, folder: Path) -> None:
    """Evaluations with damage in the report or in the answers, before `compare` and before a card."""
    from axolotl_dece.cards.facts import gather
    from axolotl_dece.cards.measured import eval_results
    from axolotl_dece.evaluation.compare import differences, load_runs, unpaired_notes
    from axolotl_dece.evaluation.headline import headline
    from axolotl_dece.evaluation.terminal import all_runs
    from axolotl_dece.run_reader import read_run
    from tests.cards.runs import save_evaluation, save_run
    from tests.evaluation.reports import fallen, save_report

    home = save_run(folder / "out")
    broken = save_evaluation(home / "report", read_run(home) or {})
    whole = save_report(folder / "whole", fallen(4))
    path = rng.choice(sorted(broken.iterdir()))
    content = path.read_bytes()
    kind = rng.randrange(3)
    if kind == 0:
        path.write_bytes(odd_bytes(rng, content))
    elif path.suffix == ".json":
        path.write_text(json.dumps(damaged(rng, json.loads(content))))
    else:
        kept = content.decode().splitlines()
        at = rng.randrange(len(kept))
        kept[at] = json.dumps(damaged(rng, json.loads(kept[at])))
        path.write_text("\n".join(kept) + "\n")
    with may_refuse(broken.name):
        runs = load_runs([whole, broken] if rng.random() < 0.5 else [broken, whole])
        gaps = differences(runs)
        unpaired_notes(runs)
        reports = {run.name: run.report for run in runs}
        headline(reports, gaps)
        all_runs(reports, gaps)
        for run in runs:
            for name in run.report["files"]:
                list(run.answers(name))
    with may_refuse(broken.name):
        eval_results(gather(home, [broken]).reports)


TARGETS: dict[str, Target] = {
    one.__name__: one for one in (config, rows, prompts, answers, planting, ledger, decisions, reports)
}
