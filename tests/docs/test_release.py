"""What is released: one version, a wheel with the package alone, and an sdist that builds the same wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from axolotl_dece import __version__
from tests.docs.pages import ROOT


def run(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="`make` installs it; it builds the release")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--directory", str(folder), cwd=ROOT)
    return folder


def test_the_version_stands_in_one_place_and_the_others_agree() -> None:
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    assert re.findall(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) in ([], [__version__])
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == __version__


def test_the_wheel_holds_the_package_its_licence_and_its_types_and_nothing_else(dist: Path) -> None:
    names = zipfile.ZipFile(next(dist.glob("*.whl"))).namelist()
    assert {name.split("/")[0] for name in names} == {"axolotl_dece", f"axolotl_dece-{__version__}.dist-info"}
    assert {"axolotl_dece/py.typed", f"axolotl_dece-{__version__}.dist-info/licenses/LICENSE"} <= set(names)
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "axolotl_dece").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= set(names)


def test_the_sdist_holds_tests_documents_and_recipes_and_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        # the first releases of Python 3.11 know no filters
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(tmp_path)  # noqa: S202 - filtered above, and made here
    (unpacked,) = tmp_path.iterdir()
    for name in ("tests/tiny.py", "docs/index.md", "examples/quickstart-cpu.yaml", "Makefile", "SECURITY.md"):
        assert (unpacked / name).is_file()
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(tmp_path / "again"),
        cwd=unpacked,
    )
    first, again = (zipfile.ZipFile(next(folder.glob("*.whl"))) for folder in (dist, tmp_path / "again"))
    assert sorted(first.namelist()) == sorted(again.namelist())


@pytest.mark.slow
def test_the_wheel_runs_where_it_is_installed(dist: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheel = str(next(dist.glob("*.whl")))
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        wheel,
        cwd=tmp_path,
    )
    program = "import axolotl_dece as a; print(a.__file__, a.__version__, a.dece_loss.__name__)"
    said = run(sys.executable, "-P", "-c", program, cwd=tmp_path, PYTHONPATH=str(site))
    assert said.split() == [str(site / "axolotl_dece" / "__init__.py"), __version__, "dece_loss"]
    entry = (site / f"axolotl_dece-{__version__}.dist-info" / "entry_points.txt").read_text()
    assert "[axolotl.cli_commands]\ndece = axolotl_dece.cli:dece" in entry
