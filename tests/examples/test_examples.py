"""Every file in examples/ is a config that axolotl accepts, that uses DeCE, and whose every key is known."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl_dece.cards.secrets import find_secrets
from axolotl_dece.check import inspect_config
from axolotl_dece.key_problems import find_problems
from axolotl_dece.keys import DeceKeys
from axolotl_dece.read_config import parse_config

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
RECIPES = runpy.run_path(str(ROOT / "docs" / "make_recipes.py"))
# nothing of the hub can be asked for here, so a base model's vocabulary is unknown
EXPECTED_WARNING = "is not on this machine, so its vocabulary is unknown"


def configs() -> Iterator[Any]:
    """Every config, those of a sweep one by one."""
    from axolotl.cli.utils.sweeps import generate_sweep_configs

    for path in EXAMPLES:
        content = yaml.safe_load(path.read_text())
        if "base_model" in content:
            yield pytest.param(content, id=path.stem)
            continue
        for number, config in enumerate(generate_sweep_configs(RECIPES["base_of"](path, content), content)):
            yield pytest.param(config, id=f"{path.stem}-{number}")


def test_the_recipes_of_the_issue_are_all_there() -> None:
    assert {path.name for path in EXAMPLES} == set(RECIPES["ORDER"])


@pytest.mark.parametrize("config", configs())
def test_a_recipe_is_accepted_by_axolotl_and_warns_of_nothing(config: dict[str, Any]) -> None:
    if config["loss"] == "ce":
        assert find_problems(config) == []
        config = config | {"loss": "dece"}
    findings = inspect_config(config, [])
    assert [f.text for f in findings if f.level == "error"] == []
    assert [f.text for f in findings if f.level == "warning" and EXPECTED_WARNING not in f.text] == []


@pytest.mark.parametrize("config", configs())
def test_every_key_is_known_for_axolotl_would_drop_it_without_a_word(config: dict[str, Any]) -> None:
    from axolotl.utils.schemas.config import AxolotlInputConfig

    assert set(config) - set(AxolotlInputConfig.model_fields) - set(DeceKeys.model_fields) == set()


@pytest.mark.parametrize("config", configs())
def test_a_copy_of_a_recipe_cannot_train_without_the_plugin(config: dict[str, Any]) -> None:
    assert config["trainer_cls"] == "axolotl_dece.Required"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_is_how_to_start_it_and_what_memory_it_takes(path: Path) -> None:
    text = path.read_text()
    config = RECIPES["base_of"](path, yaml.safe_load(text))
    said = RECIPES["MEMORY_LINE"].search(text)
    assert said is not None
    assert said["said"] == RECIPES["say_memory"](config, RECIPES["gpus_of"](text)), "run `python docs/make_recipes.py`"
    assert text.startswith("# ")
    assert "axolotl train" in text
    assert parse_config(text, path.name)[1] == [], "a key is written twice"
    assert find_secrets(text) == []


def test_the_runs_of_a_sweep_do_not_write_over_each_other() -> None:
    sweep = yaml.safe_load((ROOT / "examples" / "sweep-alpha.yaml").read_text())
    folders = [one["output_dir"] for one in sweep["_"]]
    assert len(set(folders)) == len(folders)


def test_the_computed_memory_follows_the_keys_that_decide_it() -> None:
    estimate = RECIPES["estimate"]
    config = yaml.safe_load((ROOT / "examples" / "qlora-7b-24gb.yaml").read_text())

    def total(gpus: int = 1, **changes: Any) -> float:
        return sum(estimate(config | changes, gpus).values())

    assert RECIPES["SHAPES"]["Qwen/Qwen2.5-Coder-7B"].parameters == pytest.approx(7.615e9, rel=1e-3)
    assert total(load_in_4bit=False) - total() == pytest.approx(28 * 233_046_016 * (2 - 0.51587) / 2**30, rel=0.02)
    assert total(adapter=None) > 7.615e9 * 16 / 2**30
    assert total(8, adapter=None, deepspeed="zero3.json") < 24
    assert total(micro_batch_size=8) > total(micro_batch_size=4)


def test_the_page_of_recipes_is_generated_from_the_files() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert page == RECIPES["build"](), "run `python docs/make_recipes.py`"
