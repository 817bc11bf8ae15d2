"""The example a user copies is a config that axolotl and the plugin accept, and the page describes what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from axolotl_dece.cli import dece
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import ATTACKS, PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "poison-and-measure.yaml"
PAGE = (ROOT / "docs" / "poisoning.md").read_text(encoding="utf-8")


def test_the_example_would_train_with_dece_on_poisoned_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl.integrations.base import PluginManager

    PluginManager.get_instance().plugins.clear()
    result = CliRunner().invoke(dece, ["check", str(EXAMPLE)])
    assert result.exit_code == 0, result.output
    content = yaml.safe_load(EXAMPLE.read_text())
    assert PoisonSpec.model_validate(content["dece_poison"]).pair == ("rare_token_thrice", "inert_marker")
    assert content["datasets"][0]["type"] == "axolotl_dece.poison"


@pytest.mark.parametrize("name", [*ATTACKS, *TRIGGERS, *PAYLOADS])
def test_the_page_names_everything_that_can_be_planted(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_every_yaml_on_the_page_is_a_valid_block() -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    assert blocks
    for block in blocks:
        PoisonSpec.model_validate(block["dece_poison"])
