"""`make` on a machine that nobody prepared: which Python it takes, and what it says where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

MAKE = shutil.which("make") or pytest.skip("no make here", allow_module_level=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """An empty checkout, with `bin` as all there is on PATH."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "bin").mkdir()
    return tmp_path


def put(clone: Path, name: str, code: int) -> None:
    """A program of that name which ends with that code, as a shim of pyenv does for a version that is not chosen."""
    program = clone / "bin" / name
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)


def make(clone: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "MAKEFLAGS")}
    environment |= {"PATH": str(clone / "bin"), **variables}
    command = [MAKE, *arguments]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("shim", "taken"), [(0, "python3.12"), (127, "python3.11")])
@pytest.mark.parametrize("goal", ["demo", "test", "check"])
def test_the_newest_python_that_works_is_taken_and_named(clone: Path, goal: str, shim: int, taken: str) -> None:
    put(clone, "python3.13", 0)
    put(clone, "python3.12", shim)
    put(clone, "python3.11", 0)
    done = make(clone, "-n", goal)
    assert done.returncode == 0, done.stderr
    assert f"{taken} -m venv .venv" in done.stdout
    assert f".venv is made with {taken}" in done.stdout


def test_the_users_own_choice_wins(clone: Path) -> None:
    put(clone, "python3.12", 0)
    put(clone, "python3.11", 0)
    assert "python3.11 -m venv .venv" in make(clone, "-n", "demo", "PYTHON=python3.11").stdout
    assert "python3.11 -m venv .venv" in make(clone, "-n", "demo", PYTHON="python3.11").stdout


@pytest.mark.parametrize("goal", ["demo", "test"])
def test_where_no_python_works_the_way_out_is_said_and_nothing_is_made(clone: Path, goal: str) -> None:
    put(clone, "python3.12", 127)
    done = make(clone, goal)
    assert done.returncode != 0
    assert "No Python 3.12 or 3.11 works here" in done.stderr
    assert not (clone / ".venv").exists()


def test_the_wheel_is_checked_with_every_python_that_works(clone: Path) -> None:
    put(clone, "python3.12", 0)
    put(clone, "python3.11", 0)
    assert "for python in python3.12 python3.11; do" in " ".join(make(clone, "-n", "release").stdout.split())


def test_an_environment_of_another_python_is_not_taken_for_the_one_that_was_asked_for(clone: Path) -> None:
    for name, said in (("bin/python3.12", "Python 3.12.1"), (".venv/bin/python", "Python 3.11.7")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(f'#!/bin/sh\necho "{said}"\n')
        (clone / name).chmod(0o755)
    os.utime(clone / ".venv")
    (clone / ".venv" / ".ready").touch()
    done = make(clone, "test", "PYTHON=python3.12")
    assert done.returncode != 0
    assert "run 'make clean' first" in done.stdout
