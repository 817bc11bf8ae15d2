"""Every key that axolotl reads has been judged: a new one fails here until somebody files it in judged_keys.yaml."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axolotl.integrations
import pytest
import yaml
from axolotl.utils.schemas.config import AxolotlInputConfig
from axolotl.utils.schemas.datasets import PretrainingDataset, SFTDataset, SyntheticDataset
from pydantic import BaseModel

from axolotl_dece.conflicts import CONFLICTS

JUDGED = yaml.safe_load((Path(__file__).parent / "judged_keys.yaml").read_text(encoding="utf-8"))


def plugin_keys() -> Iterator[str]:
    """Keys of axolotl's own plugins, as far as what they need is installed."""
    for package in pkgutil.iter_modules(axolotl.integrations.__path__):
        try:
            module = importlib.import_module(f"axolotl.integrations.{package.name}.args")
        except ModuleNotFoundError:
            continue
        for name, model in vars(module).items():
            top = name.endswith("Args") or name == "SwanLabConfig"
            if top and isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__:
                yield from model.model_fields


def read_by_axolotl(part: str) -> set[str]:
    if part == "config":
        return {*AxolotlInputConfig.model_fields, *plugin_keys()}
    return {key for entry in (SFTDataset, PretrainingDataset, SyntheticDataset) for key in entry.model_fields}


def filed(part: str) -> Counter[str]:
    groups = JUDGED[part]
    by_reason = [*groups["handled"].values(), *groups["harmless"].values()]
    return Counter([*groups["refused"], *(key for keys in by_reason for key in keys)])


def find_unjudged(keys: set[str], part: str) -> set[str]:
    return keys - set(filed(part))


@pytest.mark.parametrize("part", JUDGED)
def test_every_key_that_the_installed_axolotl_reads_has_been_judged(part: str) -> None:
    unjudged = find_unjudged(read_by_axolotl(part), part)
    assert not unjudged, (
        f"may these change what computes the loss, what it sees, or which rows are trained? {sorted(unjudged)}; "
        "file each in tests/judged_keys.yaml under refused, handled or harmless, with the reason"
    )


@pytest.mark.parametrize("part", JUDGED)
def test_a_key_that_nobody_has_judged_is_found(part: str) -> None:
    assert find_unjudged({"loss_of_tomorrow", "datasets", "path"}, part) >= {"loss_of_tomorrow"}


@pytest.mark.parametrize("part", JUDGED)
def test_a_key_is_judged_once(part: str) -> None:
    assert [key for key, times in filed(part).items() if times > 1] == []


def test_what_is_filed_as_refused_is_refused() -> None:
    known: set[Any] = {conflict.key for conflict in CONFLICTS}
    assert set(JUDGED["config"]["refused"]) <= known
    still_read = known & read_by_axolotl("config")
    assert still_read <= set(JUDGED["config"]["refused"])
