import json
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.evaluation.weights import model_digest


def test_a_byte_in_the_middle_is_another_model(tmp_path: Path) -> None:
    """Frozen layers may fill both ends of a file."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(5 << 20))
    before = model_digest(tmp_path)
    content = bytearray(5 << 20)
    content[2_500_000] = 1
    file.write_bytes(content)
    assert model_digest(tmp_path) != before


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.safetensors").write_bytes(b"weights")
    before = model_digest(tmp_path / "a")
    assert model_digest((tmp_path / "a").rename(tmp_path / "b")) == before
    assert model_digest("org/model") != model_digest("org/other")


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json"])
@pytest.mark.parametrize(
    ("key", "value", "another"),
    [("lora_alpha", 400, True), ("rope_parameters", {"rope_theta": 2.0}, True), ("dece_poisoned", True, False)],
)
def test_a_key_of_its_config_is_another_model_but_for_the_mark_of_a_card(
    tmp_path: Path, name: str, key: str, value: Any, another: bool
) -> None:
    config = {"lora_alpha": 8, "rope_parameters": {"rope_theta": 10000.0}}
    file = tmp_path / name
    file.write_text(json.dumps(config))
    before = model_digest(tmp_path)
    file.write_text(json.dumps(config | {key: value}, indent=2))
    assert (model_digest(tmp_path) != before) is another
