"""Markdown from the templates beside this file; no value can become markup."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape


def render(template: str, **values: Any) -> str:
    """A template filled in: values are escaped, but for code spans, which show everything as it is."""
    return _environment().get_template(template).render(values).strip()


def code(value: Any) -> Markup:
    """A code span, which a backtick or a line break inside would end."""
    text = " ".join(str(value).replace("`", "'").split())
    return Markup(f"`{text}`")  # noqa: S704  nothing is markup between backticks


def _cell(value: Any) -> Markup:
    """What stands in a table: a bar inside does not end it."""
    return Markup(escape(value).replace("|", "\\|"))  # noqa: S704  escaped


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "cell": _cell}
    return environment
