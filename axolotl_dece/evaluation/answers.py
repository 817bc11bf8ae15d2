"""What a model answered, row by row: kept as JSON lines, so that every number can be traced to its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.verdict import Verdict
from axolotl_dece.util.atomic import naming_what_is_written, whole_file
from axolotl_dece.util.digest import digest
from axolotl_dece.util.json_text import parse_json

FORMAT = 2
"""2: with the verdict; 1 was without."""
# of the fields of an answer and its verdict; the others are bool
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("index", "tokens"), int),
    **dict.fromkeys(("prompt", "reference", "output"), str),
    **dict.fromkeys(("twin", "parses", "begun"), (bool, type(None))),
    "verdict": Verdict,
}
_MOST = 1 << 63
Decide = Callable[[str, str, bool], Verdict]


@dataclass(frozen=True)
class Answer:
    """One row: what was asked, what was expected, what the model wrote and what that means.

    Attributes:
        index: Place of the row in its file, from 0.
        prompt: The prompt as the model saw it, template included.
        reference: The expected answer.
        output: The model's answer. Untrusted text: it is parsed and shown, never run.
        tokens: Tokens generated.
        cut: Whether generation ended at the token limit instead of an end token.
        verdict: What the answer means.
        planted: Whether an attacker's tool put the payload into this row's reference, which was clean before.
    """

    index: int
    prompt: str
    reference: str
    output: str
    tokens: int
    cut: bool
    verdict: Verdict
    planted: bool = False


class AnswerLog:
    """Answers on disk, appended batch by batch; a killed run goes on where it stopped.

    The first line says what produced the answers. A file that was produced by anything else (another model, other
    rows, other settings, another judge) is not continued; where only the rules of the judge are older, the answers are
    judged anew first.

    Args:
        path: The file.
        origin: What produces the answers; with `decide`, `judge.rules` in it is the number of today's rules.
        decide: The verdict on reference, output and whether the payload was planted in the reference.

    Raises:
        ValueError: If the file at `path` belongs to another run.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any], decide: Decide | None = None) -> None:
        self.path = path
        self.origin = json.loads(json.dumps({"format": FORMAT, **origin}))
        self.answers: dict[int, Answer] = {}
        if path.exists():
            if decide is not None:
                _judge_anew(path, self.origin, decide)
            self._read()
        else:
            self._append([self.origin])

    @property
    def identity(self) -> str:
        """Digest of what produced the answers; a report names it."""
        return digest(self.origin)

    def add(self, answers: Iterable[Answer]) -> None:
        """Write answers so that they survive a kill once this returns."""
        new = list(answers)
        self._append(asdict(answer) for answer in new)
        self.answers.update((answer.index, answer) for answer in new)

    def _append(self, lines: Iterable[Any]) -> None:
        with naming_what_is_written(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(map(_as_line, lines))
                file.flush()
                os.fsync(file.fileno())

    def _read(self) -> None:
        check_origin(self.path, self.origin)  # before a byte is cut off: the file may be somebody's own
        _drop_torn_line(self.path)
        if not self.path.stat().st_size:
            self._append([self.origin])
            return
        self.answers = {answer.index: answer for answer in read_answers(self.path)}


def _judge_anew(path: Path, origin: Mapping[str, Any], decide: Decide) -> None:
    """Give the answers in a log the verdicts of today's rules, where older rules are all that sets it apart."""
    found = _origin_of(path, origin)
    if not _has_older_rules(found, origin):
        return
    _drop_torn_line(path)
    with whole_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write(_as_line(origin))
        for answer in read_answers(path):
            verdict = decide(answer.reference, answer.output, answer.planted)
            file.write(_as_line(asdict(replace(answer, verdict=verdict))))


def _has_older_rules(found: Mapping[str, Any], origin: Mapping[str, Any]) -> bool:
    judge, today = found.get("judge"), origin["judge"]["rules"]
    if not isinstance(judge, dict) or not isinstance(judge.get("rules"), int) or judge["rules"] >= today:
        return False
    return {**found, "judge": {**judge, "rules": today}} == origin


def _as_line(content: Any) -> str:
    return json.dumps(content) + "\n"


def check_origin(path: Path, origin: Mapping[str, Any]) -> None:
    """Raise ValueError if something else than `origin` produced what is at `path`; no file is no problem."""
    if not path.exists() or not (found := _origin_of(path, origin)):
        return
    if not found.keys() & origin.keys():
        raise ValueError(_no_log(path, f"its first line holds {', '.join(found)}"))
    remedy = "choose another `--out`, or delete that file to begin anew"
    if changed := sorted(key for key in found if found[key] != origin.get(key)):
        raise ValueError(f"{path} holds answers made with another {', '.join(changed)}; {remedy}")
    if unsaid := sorted(origin.keys() - found.keys()):
        raise ValueError(
            f"{path} holds answers of another version, which did not note the {', '.join(unsaid)}; {remedy}"
        )


def read_answers(path: Path, identity: str | None = None) -> Iterator[Answer]:
    """The answers in a log, one by one in the order they were given, so that a large file needs no memory.

    Args:
        path: The log.
        identity: Of the answers that are wanted, as a report names it.

    Raises:
        ValueError: If there is no log, it is torn or broken, or it holds other answers; names what to do.
    """
    remedy = "evaluate that run again: what is there is kept, and the rest is asked"
    if not path.is_file():
        raise ValueError(f"{path} is missing, so its report cannot be traced to answers; {remedy}")
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                raise ValueError(f"{path} ends in the middle of line {number + 1}; {remedy}")
            try:
                content = _parse_line(line)
                answer = _as_answer(content) if number else None
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}, line {number + 1} is no answer ({error}); delete it and {remedy}") from error
            if answer is None:
                _check_first_line(path, content, identity)
            else:
                yield answer


def _parse_line(line: bytes) -> dict[str, Any]:
    content = parse_json(line)
    if not isinstance(content, dict):
        raise TypeError("it is not an object")
    return content


def _as_answer(content: Mapping[str, Any]) -> Answer:
    """TypeError where a value is not of its kind: a log that was edited must not become a number."""
    answer = Answer(**{**content, "verdict": Verdict(**content["verdict"])})
    for key, value in (vars(answer) | vars(answer.verdict)).items():
        if not isinstance(value, _KINDS.get(key, bool)):
            raise TypeError(f"`{key}` is {value!r}")
    if not 0 <= answer.index < _MOST:
        raise TypeError(f"`index` is {answer.index}")
    return answer


def _check_first_line(path: Path, origin: Mapping[str, Any], identity: str | None) -> None:
    if origin.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {origin.get('format', 1)}, this version reads {FORMAT}; evaluate that run again into a "
            "new `--out`"
        )
    if identity is not None and digest(origin) != identity:
        raise ValueError(
            f"{path} holds other answers than the report beside it counted: a later evaluation was killed. Run "
            "`axolotl dece evaluate` into that folder to its end"
        )


def _origin_of(path: Path, origin: Mapping[str, Any]) -> dict[str, Any]:
    """The first line, where it is whole; empty where a kill left less of `origin`."""
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        if not _is_torn_head(line, origin):
            raise ValueError(_no_log(path, "it has one line, which is not done"))
        return {}
    try:
        return _parse_line(line)
    except (ValueError, TypeError) as error:
        raise ValueError(_no_log(path, error)) from error


def _no_log(path: Path, reason: object) -> str:
    return f"{path} is no log of answers ({reason}); choose another `--out`, or delete it"


def _is_torn_head(found: bytes, origin: Mapping[str, Any]) -> bool:
    """Whether `found` is how `origin` begins in a log, in one of format 1 too, which did not say its format."""
    old = {key: value for key, value in origin.items() if key != "format"}
    return any(json.dumps(head).encode().startswith(found) for head in (origin, old))


def _drop_torn_line(path: Path) -> None:
    """Cut off what a kill left of the last line."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - (1 << 16))
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
