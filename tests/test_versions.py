"""Versions of axolotl: a tested one is left as it is, an untested one trains nothing."""

from __future__ import annotations

import sys
import tomllib
from collections import OrderedDict
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from axolotl.integrations.base import PluginManager, load_plugin
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import axolotl_dece
from axolotl_dece import differences, versions
from axolotl_dece.differences import Difference
from tests.docs.pages import ROOT
from tests.tiny import base_config, train

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTED = SpecifierSet(versions.TESTED)
RELEASES = ("0.18.0", "0.19.0", "0.20.0", "0.21.0", "0.22.0")
DIFFERENCES = {name: entry for name, entry in vars(differences).items() if isinstance(entry, Difference)}


def install(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(versions, "version", lambda name: found)


@pytest.mark.parametrize("name", ["DecePlugin", "Required"])
@pytest.mark.parametrize("found", ["0.18.0", "0.22.0", "0.22.0.dev0", "1.0"])
def test_what_trains_does_not_load_with_an_untested_axolotl(
    monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    install(monkeypatch, found)
    with pytest.raises(RuntimeError, match=f"axolotl {found} is installed") as error:
        getattr(axolotl_dece, name)
    assert f"pip install 'axolotl{versions.TESTED}'" in str(error.value)
    assert callable(axolotl_dece.dece_loss), "the loss alone needs no axolotl"


def test_axolotl_itself_stops_where_its_version_was_not_tested(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PluginManager.get_instance(), "plugins", OrderedDict())
    install(monkeypatch, "0.22.0")
    with pytest.raises(RuntimeError, match=r"axolotl 0\.22\.0 is installed"):
        train(workspace, base_config(workspace))
    assert not (workspace / "out").exists()
    assert not (workspace / "prepared").exists()


def test_the_plugin_by_its_long_name_stops_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl_dece.plugin import DecePlugin

    install(monkeypatch, "0.22.0")
    with pytest.raises(RuntimeError, match=r"axolotl 0\.22\.0 is installed"):
        DecePlugin().register({})


@pytest.mark.parametrize("found", [r for r in RELEASES if r in TESTED])
def test_every_release_in_the_range_is_taken(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    install(monkeypatch, found)
    assert versions.find_untested() is None


def test_an_axolotl_that_is_no_package_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise versions.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", missing)
    with pytest.raises(RuntimeError, match="not installed as a package; `pip install"):
        versions.refuse_untested()


def test_no_requirement_makes_pip_replace_an_axolotl_that_was_tested_or_is_newer() -> None:
    lines = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, lines):
        if requirement.name == "axolotl":
            assert all(r in requirement.specifier for r in RELEASES if r in TESTED or r > "0.21")
    assert all("<" not in clause for clause in PROJECT["requires-python"].split(","))


@pytest.mark.parametrize("entry", DIFFERENCES.values(), ids=DIFFERENCES)
def test_an_entry_holds_in_some_tested_versions_and_not_in_all(entry: Difference) -> None:
    holds = {release in SpecifierSet(entry.versions) for release in RELEASES if release in TESTED}
    assert holds == {True, False}, "no tested version is left that differs; delete the entry and what asks it"


def test_the_colon_form_is_read_where_the_entry_says_so() -> None:
    module = ModuleType("a_plugin_of_tests")
    module.Plugin = dict  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    try:
        load_plugin("a_plugin_of_tests:Plugin")
        reads = True
    except ValueError:
        reads = False
    finally:
        del sys.modules[module.__name__]
    assert reads == differences.COLON_FORM.is_here


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_a_fresh_environment_is_told_to_stay_in_the_tested_range(page: str) -> None:
    text = (ROOT / page).read_text()
    _, newest = versions.TESTED.split(",")
    assert f"    pip install axolotl-dece 'axolotl{newest}'" in text
    assert f"    uv pip install axolotl-dece 'axolotl{newest}'" in text
    assert "    pip install axolotl-dece\n" in text or "    pip install axolotl-dece  " in text
