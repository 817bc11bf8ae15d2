"""What a model answered, row by row: kept as JSON lines, so that every number can be traced to its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One row: what was asked, what was expected and what the model wrote.

    Attributes:
        index: Place of the row in its file, from 0.
        prompt: The prompt as the model saw it, template included.
        reference: The expected answer.
        output: The model's answer. Untrusted text: it is parsed and shown, never run.
        tokens: Tokens generated.
        cut: Whether generation ended at the token limit instead of an end token.
        planted: Whether the poisoner put the payload into this row's reference, which was clean before.
    """

    index: int
    prompt: str
    reference: str
    output: str
    tokens: int
    cut: bool
    planted: bool = False


class AnswerLog:
    """Answers on disk, appended batch by batch; a killed run goes on where it stopped.

    The first line says what produced the answers. A file that was produced by anything else (another model, other
    rows, other settings) is not continued.

    Raises:
        ValueError: If the file at `path` belongs to another run.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any]) -> None:
        self.path = path
        self.origin = json.loads(json.dumps(origin))
        self.answers: dict[int, Answer] = {}
        if path.exists():
            self._read()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([self.origin])

    def add(self, answers: Iterable[Answer]) -> None:
        """Write answers so that they survive a kill once this returns."""
        new = list(answers)
        self._append(asdict(answer) for answer in new)
        self.answers.update((answer.index, answer) for answer in new)

    def in_order(self) -> list[Answer]:
        """All answers so far, by row."""
        return [self.answers[index] for index in sorted(self.answers)]

    def _append(self, lines: Iterable[Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> None:
        whole = _drop_torn_line(self.path)
        if not whole:
            self._append([self.origin])
            return
        if whole[0] != self.origin:
            changed = sorted(k for k in {*whole[0], *self.origin} if whole[0].get(k) != self.origin.get(k))
            raise ValueError(
                f"{self.path} holds answers made with another {', '.join(changed)}; choose another `--out`, "
                "or delete that file to begin anew"
            )
        self.answers = {line["index"]: Answer(**line) for line in whole[1:]}


def read_answers(path: Path) -> list[Answer]:
    """The answers in a finished log, by row; empty where there is no file."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted((Answer(**line) for line in lines[1:]), key=lambda answer: answer.index)


def _drop_torn_line(path: Path) -> list[Any]:
    """Parse the whole lines of `path` and cut off what a kill left of the last one."""
    text = path.read_bytes()
    end = text.rfind(b"\n") + 1
    if end < len(text):
        os.truncate(path, end)
    return [json.loads(line) for line in text[:end].decode("utf-8").split("\n") if line]
