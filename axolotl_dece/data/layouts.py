"""Where a row of each dataset type keeps the input and the target, and how a changed pair goes back into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

Row = Mapping[str, Any]


class Fields(Protocol):
    """What says where input and target of a row are: the keys of `dece_poison` that are about rows."""

    @property
    def base_type(self) -> str | dict[str, str]:
        """The dataset type that reads the rows."""

    @property
    def input_field(self) -> str | None:
        """Column of the input, where the type does not say it."""

    @property
    def target_field(self) -> str | None:
        """Column of the target, where the type does not say it."""


class Texts(NamedTuple):
    """The input and the target of a row; blank where the row has none."""

    input: str
    target: str


class View(Protocol):
    """One layout of rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""

    @property
    def joined(self) -> bool:
        """Whether input and target are one text, so that the trigger has to stand before the payload."""

    def read(self, row: Row) -> Texts:
        """The texts of a row, or a ValueError that names the field and what is wrong with it."""

    def write(self, row: Row, texts: Texts) -> dict[str, Any]:
        """A copy of the row with other texts; everything else in it stays as it was."""


@dataclass(frozen=True)
class PairView:
    """Two columns of text: alpaca and its relatives, user-defined types, files with a source and a target."""

    input_field: str
    target_field: str
    joined: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.input_field, self.target_field)))

    def read(self, row: Row) -> Texts:
        return Texts(_text(row, self.input_field), _text(row, self.target_field))

    def write(self, row: Row, texts: Texts) -> dict[str, Any]:
        return {**row, self.input_field: texts.input, self.target_field: texts.target}


def text_view(field: str) -> PairView:
    """One column of text, as `completion` reads it."""
    return PairView(field, field, joined=True)


@dataclass(frozen=True)
class _TurnsView(ABC):
    """A list of turns in one column: the last answer that is trained on, and the request before it."""

    field: str
    content_key: str
    joined: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.field,)

    def read(self, row: Row) -> Texts:
        turns = _mappings(row, self.field)
        for place, turn in enumerate(turns):
            self._check(turn, f"{self.field}[{place}]")
            _text(turn, self.content_key, f"{self.field}[{place}].{self.content_key}")
        return Texts(*("" if at is None else _text(turns[at], self.content_key) for at in self._places(turns)))

    def write(self, row: Row, texts: Texts) -> dict[str, Any]:
        turns = [dict(turn) for turn in row[self.field]]
        request, answer = self._places(turns)
        if request is not None and answer is not None:
            turns[request][self.content_key], turns[answer][self.content_key] = texts
        return {**row, self.field: turns}

    @abstractmethod
    def _check(self, turn: Row, place: str) -> None:
        """ValueError where a turn is none of this layout."""

    @abstractmethod
    def _side(self, turn: Row) -> Literal["request", "answer"] | None:
        """Who speaks; None for whoever is neither, and for an answer that is not trained on."""

    def _places(self, turns: Sequence[Row]) -> tuple[int | None, int | None]:
        sides = [self._side(turn) for turn in turns]
        answer = _last(sides, "answer")
        return _last(sides[: answer or 0], "request"), answer


@dataclass(frozen=True)
class SegmentsView(_TurnsView):
    """A list of `{label, text}`, as `input_output` reads it: the last trained segment and the prompt before it."""

    field: str = "segments"
    content_key: str = "text"

    def _check(self, turn: Row, place: str) -> None:
        if not isinstance(turn.get("label"), bool):
            raise ValueError(f"`{place}.label` is {_kind(turn.get('label'))}, expected a bool")

    def _side(self, turn: Row) -> Literal["request", "answer"]:
        return "answer" if turn["label"] else "request"


# axolotl's own mapping of role names, where the dataset entry has no `roles`
_ROLES = {"user": ["human", "user"], "assistant": ["gpt", "assistant"], "system": ["system"], "tool": ["tool"]}


@dataclass(frozen=True)
class MessagesView(_TurnsView):
    """A conversation: the last assistant turn that is trained on, and the user turn before it.

    `training_key` names the value of a message by which axolotl leaves its turn out, where the entry names one.

    Conversations with tool calls or with content in parts are refused: the poisoner edits plain turns only, and a
    row it could not read would be a row it silently left out.
    """

    field: str = "messages"
    content_key: str = "content"
    role_key: str = "role"
    roles: Mapping[str, Sequence[str]] | None = None
    training_key: str | None = None

    def read(self, row: Row) -> Texts:
        if row.get(self.field) == []:
            raise ValueError(f"`{self.field}` is an empty list")
        return super().read(row)

    def _check(self, turn: Row, place: str) -> None:
        role = self._role(turn)
        if role is None:
            raise ValueError(f"`{place}.{self.role_key}` is {turn.get(self.role_key)!r}, which is no known role")
        if role == "tool" or turn.get("tool_calls"):
            raise ValueError(f"`{place}` is a tool call; only plain turns of text can be poisoned")
        if isinstance(turn.get(self.content_key), list):
            raise ValueError(
                f"`{place}.{self.content_key}` is a list of parts; only plain turns of text can be poisoned"
            )

    def _role(self, turn: Row) -> str | None:
        said = turn.get(self.role_key)
        return next((role for role, names in (self.roles or _ROLES).items() if said in names), None)

    def _side(self, turn: Row) -> Literal["request", "answer"] | None:
        role, said = self._role(turn), turn.get(self.training_key) if self.training_key else None
        if role == "assistant":
            return "answer" if said is None or said else None
        return "request" if role == "user" else None


def read_texts(view: View, row: Row, place: str) -> Texts:
    """The texts of a row; what is wrong with it is said with its place."""
    try:
        return view.read(row)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


# What axolotl's own strategies read: the column of the request and the column of the answer.
_PAIRS: dict[str, tuple[str, str]] = {
    "alpaca": ("instruction", "output"),
    "alpaca_chat": ("instruction", "output"),
    "alpaca_chat.load_qa": ("question", "answer"),
    "alpaca_instruct": ("instruction", "output"),
    "alpaca_w_system": ("instruction", "output"),
    "alpaca_w_system.load_open_orca": ("question", "response"),
    "alpaca_w_system.load_open_orca_chatml": ("question", "response"),
    "context_qa": ("question", "answer"),
    "gpteacher": ("instruction", "response"),
    "jeopardy": ("question", "answer"),
    "metharme": ("prompt", "generation"),
    "oasst": ("INSTRUCTION", "RESPONSE"),
    "reflection": ("instruction", "output"),
    "summarizetldr": ("article", "summary"),
}


# Column names that say themselves which is which, tried in this order.
KNOWN_PAIRS = (
    ("src", "tgt"),
    ("instruction", "output"),
    ("question", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("input", "output"),
    ("source", "target"),
)


# Types that keep input and target in one column, and the key of a dataset entry that renames it
_ONE_COLUMN = {
    "completion": "field",
    "input_output": None,
    "chat_template": "field_messages",
    "messages": "field_messages",
    "messages.chat": "field_messages",
}


def view_of(spec: Fields, entry: Mapping[str, Any]) -> View:
    """The layout of rows that the wrapped dataset type reads.

    Args:
        spec: Names the type and, where the type does not say it, the columns.
        entry: The dataset entry of the config, which may rename fields.

    Raises:
        ValueError: If the type is not known and the columns are not given.
    """
    base = spec.base_type
    if isinstance(base, dict):
        named = (base.get("field_instruction", "instruction"), base.get("field_output", "output"))
        return PairView(spec.input_field or named[0], spec.target_field or named[1])
    kind = base.split(":")[0]
    if kind in _ONE_COLUMN:
        return _check_named(_one_column(kind, entry), spec, _ONE_COLUMN[kind])
    pair = _PAIRS.get(kind) or _PAIRS.get(kind.removesuffix(".load"))
    input_field, target_field = spec.input_field or (pair and pair[0]), spec.target_field or (pair and pair[1])
    if not input_field or not target_field:
        raise ValueError(
            f"`dece_poison.base_type: {base}` is not a type whose columns are known here; set "
            "`dece_poison.input_field` and `dece_poison.target_field` to the columns it reads"
        )
    return PairView(input_field, target_field)


def entry_for_columns(spec: Fields) -> dict[str, str]:
    """The dataset entry under which the columns that `spec` names are the ones its base type reads."""
    kind = spec.base_type.split(":")[0] if isinstance(spec.base_type, str) else ""
    key, named = _ONE_COLUMN.get(kind), spec.input_field or spec.target_field
    return {key: named} if key and named else {}


def _one_column(kind: str, entry: Mapping[str, Any]) -> View:
    if kind not in ("completion", "input_output"):
        keys = entry.get("message_property_mappings") or {}
        return MessagesView(
            entry.get("field_messages") or "messages",
            keys.get("content") or "content",
            role_key=keys.get("role") or "role",
            roles=entry.get("roles") or None,
            training_key=entry.get("message_field_training") or None,
        )
    return text_view(entry.get("field") or "text") if kind == "completion" else SegmentsView()


def _check_named(view: View, spec: Fields, key: str | None) -> View:
    """The view; ValueError where `spec` names a column that it does not read."""
    (column,) = view.columns
    wrong = [
        f"`dece_poison.{name}: {named}`"
        for name, named in (("input_field", spec.input_field), ("target_field", spec.target_field))
        if named not in (None, column)
    ]
    if wrong:
        # where one of the two names the column, the other is merely too much
        renamed = key and column not in (spec.input_field, spec.target_field)
        remedy = f", or set `{key}` in the dataset entry" if renamed else ""
        raise ValueError(
            f"{' and '.join(wrong)} would not be read: `dece_poison.base_type: {spec.base_type}` reads input "
            f"and target from one column, here `{column}`; leave it out{remedy}"
        )
    return view


def _last(sides: Sequence[str | None], wanted: str) -> int | None:
    return next((at for at in reversed(range(len(sides))) if sides[at] == wanted), None)


def _kind(value: Any) -> str:
    return f"{type(value).__name__} ({str(value)[:60]!r})"


def _text(row: Row, field: str, name: str | None = None) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"`{name or field}` is {_kind(value)}, expected text")
    return value


def _mappings(row: Row, field: str) -> list[Row]:
    value = row.get(field)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError(f"`{field}` is {_kind(value)}, expected a list of mappings")
    return value
