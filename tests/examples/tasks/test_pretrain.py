"""The code model made on the spot: it learns, it is the same for the same seed, and its text survives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from axolotl_dece.experiment.task import Material
from examples.demo.base import ANSWER
from examples.tasks.lyra import LyraTask
from examples.tasks.pretrain import SIZES, Size, build_model, build_tokenizer, pretrain

PAIRS = [(f"Give back item number {n}.", f"def item_{n} ( x ) :\n\t return x [ {n} ]") for n in range(40)]
TINY = Size(vocabulary=320, hidden=32, layers=1, head_size=16, steps=60, batch=8, learning_rate=1e-2)


def test_pretraining_learns_and_saves_a_model_with_its_tokenizer(tmp_path: Path) -> None:
    losses: list[float] = []
    pretrain(tmp_path, PAIRS, TINY, on_step=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    assert model.config.vocab_size == len(tokenizer)
    prompt = tokenizer(f"{PAIRS[3][0]} {ANSWER}", return_tensors="pt")
    answer = model.generate(**prompt, max_new_tokens=4, do_sample=False)[0, prompt["input_ids"].size(1) :]
    assert tokenizer.decode(answer).startswith("def")  # and not " def": a blank that no answer of fine-tuning has


def test_the_same_seed_makes_the_same_model_and_another_another(tmp_path: Path) -> None:
    brief = replace(TINY, steps=3)
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain(tmp_path / name, PAIRS, brief, seed=seed)
        weights.append(LlamaForCausalLM.from_pretrained(tmp_path / name).lm_head.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_tokenizer_gives_text_back_byte_for_byte() -> None:
    tokenizer = build_tokenizer(PAIRS, 320)
    for text in ("def f ( x ) :\n\t return ' a  b '", "Ünïcode , too — 数"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id


@pytest.mark.parametrize(("name", "low", "high"), [("cpu", 4.5e6, 5.5e6), ("gpu", 25e6, 60e6)])
def test_the_sizes_are_what_their_description_says(name: str, low: float, high: float) -> None:
    size = SIZES[name]
    tokenizer = build_tokenizer(PAIRS, 320)
    with torch.device("meta"):
        model = build_model(tokenizer, size)
    body = sum(p.numel() for p in model.model.layers.parameters())
    assert low <= body + size.vocabulary * size.hidden <= high


def lyra(folder: Path) -> Path:
    folder.mkdir()
    for name in ("train", "valid"):
        (folder / f"{name}.csv").write_text("src,tgt\nask,answer\n", encoding="utf-8")
    return folder


def test_the_lyra_task_says_everything_that_is_missing(tmp_path: Path) -> None:
    problems = LyraTask(
        name="examples.tasks.lyra", path=tmp_path, size="cpu", base=tmp_path / "nowhere"
    ).find_problems()
    assert len(problems) == 3
    assert all(word in " ".join(problems) for word in ("train.csv", "valid.csv", "task.base"))
    assert LyraTask(name="examples.tasks.lyra", path=lyra(tmp_path / "lyra"), size="cpu").find_problems() == []


def test_the_lyra_task_is_known_by_its_rows_and_not_by_where_they_lie(tmp_path: Path) -> None:
    here, there = (LyraTask(name="examples.tasks.lyra", path=lyra(tmp_path / name), size="cpu") for name in ("a", "b"))
    assert here.identity() == there.identity()
    (tmp_path / "b" / "train.csv").write_text("src,tgt\nask,another\n", encoding="utf-8")
    assert here.identity() != there.identity()


def test_a_base_made_earlier_is_used_as_it_is(tmp_path: Path) -> None:
    pretrain(tmp_path / "base", PAIRS, replace(TINY, steps=1))
    task = LyraTask(name="examples.tasks.lyra", path=lyra(tmp_path / "lyra"), size="cpu", base=tmp_path / "base")
    material = task.prepare(tmp_path / "work", 0)
    assert isinstance(material, Material)
    assert material.base_model == str((tmp_path / "base").resolve())
    assert not (tmp_path / "work").exists()
    assert task.identity() != LyraTask(name="examples.tasks.lyra", path=tmp_path / "lyra", size="cpu").identity()
