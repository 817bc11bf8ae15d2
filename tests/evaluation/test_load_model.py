"""A model that is not the one meant is refused: each of these would otherwise give a number, and a lie."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from axolotl_dece.evaluation.evaluate import check_adapter_acts
from axolotl_dece.evaluation.load_model import Source, load_subject
from axolotl_dece.evaluation.prompts import TokenRow
from axolotl_dece.util.weights import weights_in
from tests.evaluation.conftest import alpaca, save_adapter, save_run
from tests.tiny import save_model


def rewrite_weights(adapter: Path, change: dict[str, str]) -> None:
    """Rename weights of an adapter: every `old` in a name becomes `new`."""
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    for old, new in change.items():
        weights = {name.replace(old, new): weight for name, weight in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})


def test_an_adapter_is_loaded_with_its_run_and_prompt_format(base: Path, adapter: Path) -> None:
    subject = load_subject(Source(str(base), adapter))
    assert subject.run is not None
    assert subject.run["loss"] == "dece"
    assert subject.recipe["dataset"]["type"] == "alpaca"
    assert subject.warnings == []
    assert not subject.model.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit"])
def test_every_precision_answers(tmp_path: Path, precision: str) -> None:
    # 4-bit blocks hold 64 weights
    base = save_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    subject = load_subject(Source(str(base), save_adapter(base, tmp_path / "adapter"), precision=precision))
    logits = subject.model(input_ids=torch.tensor([[1, 5, 6]])).logits
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    "change", [{"q_proj": "x_proj"}, {"layers.1": "layers.7"}, {"lora_A": "lora_C"}], ids=["module", "layer", "kind"]
)
def test_an_adapter_whose_keys_do_not_match_is_refused(base: Path, adapter: Path, change: dict[str, str]) -> None:
    rewrite_weights(adapter, change)
    with pytest.raises(ValueError, match=r"are missing and .* do not belong to this base model.*is `--base` the model"):
        load_subject(Source(str(base), adapter))


def test_an_adapter_for_a_deeper_base_is_refused(tmp_path: Path) -> None:
    shallow, deep = save_model(tmp_path / "shallow"), save_model(tmp_path / "deep", num_hidden_layers=3)
    with pytest.raises(ValueError, match="0 weights the adapter should have are missing and 4 do not belong"):
        load_subject(Source(str(shallow), save_adapter(deep, tmp_path / "deeper")))
    with pytest.raises(ValueError, match="4 weights the adapter should have are missing and 0 do not belong"):
        load_subject(Source(str(deep), save_adapter(shallow, tmp_path / "shallower")))


def test_an_adapter_for_a_wider_base_is_refused(tmp_path: Path, adapter: Path) -> None:
    wide = save_model(tmp_path / "wide", hidden_size=64)
    with pytest.raises(ValueError, match="the adapter does not fit the base model"):
        load_subject(Source(str(wide), adapter))


def test_an_adapter_that_changes_nothing_is_refused(tmp_path: Path, base: Path, adapter: Path) -> None:
    row = TokenRow([1, 5, 6, 7], [2])
    check_adapter_acts(load_subject(Source(str(base), adapter)), row)
    idle = save_adapter(base, tmp_path / "idle", zero=True)
    with pytest.raises(ValueError, match="the adapter changes nothing"):
        check_adapter_acts(load_subject(Source(str(base), idle)), row)


def test_another_tokenizer_than_the_runs_is_refused(base: Path, adapter: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    tokenizer.chat_template = "{{ 'another' }}"
    tokenizer.save_pretrained(adapter)
    with pytest.raises(ValueError, match="is not the one of its run"):
        load_subject(Source(str(base), adapter))


def test_a_base_that_counts_its_tokens_otherwise_is_refused(base: Path, adapter: Path) -> None:
    path = base / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["w1"], vocabulary["w2"] = vocabulary["w2"], vocabulary["w1"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"2 of 178 tokens of .* have another number.*another base model"):
        load_subject(Source(str(base), adapter))


def test_a_tokenizer_that_counts_beyond_the_embeddings_is_refused(tmp_path: Path) -> None:
    small = save_model(tmp_path / "small", vocab_size=100)
    save_run(small, AutoTokenizer.from_pretrained(small))
    with pytest.raises(ValueError, match="has embeddings for 100 tokens"):
        load_subject(Source(str(small)))


def test_a_model_without_manifest_has_to_be_called_undefended(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no dece_run\.json.*--undefended"):
        load_subject(Source(str(base)))
    with pytest.raises(ValueError, match="does not say how its prompts were written"):
        load_subject(Source(str(base), undefended=True))
    subject = load_subject(Source(str(base), config=alpaca(tmp_path), undefended=True))
    assert subject.run is None
    assert "nothing proves which loss" in subject.warnings[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("./nowhere"), r"`--base ./nowhere` is not a folder"),
        (Source("/no/where/at/all"), "is not a folder"),
        (Source("base", Path("nowhere")), r"has no adapter_config\.json and no adapter_model\.safetensors"),
        (Source("base", config=Path("none.yaml")), "`--config none.yaml` is not a file"),
    ],
)
def test_missing_files_are_named_before_anything_is_loaded(
    base: Path, source: Source, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)
    monkeypatch.setattr("axolotl_dece.evaluation.load_model._load_model", lambda source: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=message):
        load_subject(source)


def test_a_pickled_adapter_is_not_read(base: Path, adapter: Path) -> None:
    shutil.move(adapter / "adapter_model.safetensors", adapter / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"no adapter_model\.safetensors"):
        load_subject(Source(str(base), adapter))


def test_weights_that_a_stopped_run_found_in_its_folder_are_not_taken_for_its_own(base: Path, adapter: Path) -> None:
    save_run(adapter, AutoTokenizer.from_pretrained(adapter), status="running", weights_before=weights_in(adapter))
    with pytest.raises(ValueError, match=r"adapter_model.safetensors lay there before the run .* train again"):
        load_subject(Source(str(base), adapter))


def test_an_unfinished_run_and_another_base_are_said(tmp_path: Path, base: Path, adapter: Path) -> None:
    save_run(adapter, AutoTokenizer.from_pretrained(adapter), status="running")
    moved = shutil.copytree(base, tmp_path / "renamed")
    warnings = load_subject(Source(str(moved), adapter)).warnings
    assert "did not finish" in warnings[0]
    assert "was trained on" in warnings[1]
    assert "/" not in "".join(warnings), "a report is for others, who need not know where a model lies"


def test_a_merged_model_answers_as_base_and_adapter_do(tmp_path: Path, base: Path, adapter: Path) -> None:
    together = load_subject(Source(str(base), adapter))
    ids = torch.tensor([[1, 5, 6, 7]])
    expected = together.model(input_ids=ids).logits
    merged = tmp_path / "merged"
    together.model.merge_and_unload().save_pretrained(merged)
    together.tokenizer.save_pretrained(merged)
    save_run(merged, together.tokenizer)
    subject = load_subject(Source(str(merged)))
    assert subject.run is not None
    assert torch.allclose(subject.model(input_ids=ids).logits, expected, atol=1e-4)
    alone = load_subject(Source(str(base), undefended=True, config=alpaca(tmp_path)))
    assert not torch.allclose(alone.model(input_ids=ids).logits, expected, atol=1e-2)


def test_an_adapter_given_as_base_is_refused(adapter: Path) -> None:
    """transformers would load it onto the base it names, and no check would see it."""
    with pytest.raises(ValueError, match="is an adapter; give it to `--adapter`"):
        load_subject(Source(str(adapter)))


def test_a_base_with_weights_missing_is_refused(base: Path, tmp_path: Path) -> None:
    path = base / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights .*layers\.1\.mlp\.up_proj.*would be random"):
        load_subject(Source(str(base), undefended=True, config=alpaca(tmp_path)))


def test_a_base_without_weights_or_tokenizer_is_named(base: Path, tmp_path: Path) -> None:
    source = Source(str(base), undefended=True, config=alpaca(tmp_path))
    (base / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"`--base .*` cannot be loaded"):
        load_subject(source)
    for file in base.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"the tokenizer of .* cannot be loaded"):
        load_subject(source)
