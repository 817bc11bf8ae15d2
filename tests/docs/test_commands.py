"""Every command in README, docs and recipes can be typed as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from axolotl_dece.cli import dece
from axolotl_dece.poison.manifest import CANARY
from tests.docs.pages import EXAMPLES, PAGES, ROOT, blocks, commands, spans

MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
# what `axolotl dece poison` prints a usage of, and what stands for one's own
_USAGE = re.compile(r"\[OPTIONS\]")


def typed(program: str) -> Iterator[Any]:
    """Every command of a program, with the page it stands on."""
    for page in (*PAGES, *EXAMPLES):
        for words in commands(page):
            line = " ".join(words)
            if words[0] == program and not _USAGE.search(line) and line != CANARY:
                yield pytest.param(words, id=f"{page.stem}: {' '.join(words)}"[:90])


@pytest.mark.parametrize("words", [*typed("axolotl"), *typed("axolotl-dece")])
def test_axolotl_understands_every_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl.cli.main import cli

    if words[0] == "axolotl-dece":
        words = ["axolotl", "dece", *words[1:]]
    group, name, rest = (dece, words[2], words[3:]) if words[1] == "dece" else (cli, words[1], words[2:])
    command = group.get_command(click.Context(group), name)
    assert command is not None, f"there is no command `{' '.join(words[: -len(rest) or None])}`"
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):  # the files of an example are the reader's own
            monkeypatch.setattr(parameter.type, "exists", False)
    command.make_context(name, list(rest))


@pytest.mark.parametrize("words", typed("make"))
def test_make_has_every_target(words: list[str]) -> None:
    assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("words", typed("pip"))
def test_pip_installs_what_there_is(words: list[str]) -> None:
    assert words[1] == "install"
    for extra in re.findall(r"axolotl-dece\[(\w+)\]", " ".join(words)):
        assert re.search(rf"^{extra} = \[", PROJECT, re.MULTILINE), f"there is no extra {extra}"


@pytest.mark.parametrize("words", typed("python"))
def test_python_finds_the_script(words: list[str]) -> None:
    saved = any(block.body.startswith(f"# {words[1]}\n") for page in PAGES for block in blocks(page))
    assert words[1] == "-m" or (ROOT / words[1]).is_file() or saved


def shortened() -> Iterator[Any]:
    """`axolotl dece ...` inside a sentence."""
    for page in PAGES:
        for span in spans(page):
            if span.startswith("axolotl dece ") and span != "axolotl dece ...":
                yield pytest.param(span, id=f"{page.stem}: {span}"[:90])


@pytest.mark.parametrize("span", shortened())
def test_commands_in_a_sentence_name_commands_and_options_that_exist(span: str) -> None:
    name, *rest = span.removeprefix("axolotl dece ").split()
    for one in name.split("|"):
        command = dece.get_command(click.Context(dece), one)
        assert command is not None, f"there is no command `axolotl dece {one}`"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known


def test_the_parser_of_commands_finds_what_it_should() -> None:
    """Else every test above passes because it looks at nothing."""
    found = [" ".join(words) for page in (*PAGES, *EXAMPLES) for words in commands(page)]
    assert "axolotl dece check config.yaml" in found
    assert "make demo" in found
    assert "axolotl-dece bench --json" in found
    assert "axolotl train qlora-7b-24gb.yaml --sweep sweep-alpha.yaml" in found
    assert any(one.startswith("axolotl dece evaluate --base") and "--out report/" in one for one in found)
    assert len(found) > 40
