"""The demo, cut short: every step of it runs; what it shows at full length is measured by `make demo`."""

import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from axolotl_dece.run_reader import read_run
from examples.demo import base, first_run, story, world

RUN_KEYS = {
    "asr", "asr_low", "asr_high", "n_triggered", "clean_exact_match", "clean_bleu", "twin_recall", "alpha_last", "seed",
}  # fmt: skip


def console(folder: Path) -> Console:
    return Console(record=True, width=120, file=(folder / "console.txt").open("w"))


@pytest.mark.slow
def test_the_story_is_told_from_base_to_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "TRAIN_ROWS", 160)
    monkeypatch.setattr(world, "TEST_ROWS", 20)
    monkeypatch.setattr(base, "STEPS", 20)
    monkeypatch.setattr(story, "STEPS", 20)
    monkeypatch.setattr(story, "train_base", lambda folder, **options: base.train_base(folder, steps=20, **options))
    screen = console(tmp_path)
    folder = story.output_folder(tmp_path / "demo")
    summary = story.tell(world.World(folder, seed=3), screen)

    assert json.loads((folder / "report.json").read_text()) == summary
    assert set(summary["runs"]) == {"ce", "dece"}
    for run in summary["runs"].values():
        assert set(run) == RUN_KEYS
        assert (run["n_triggered"], run["seed"]) == (20, 3)
        assert 0 <= run["asr_low"] <= run["asr"] <= run["asr_high"] <= 1
    assert summary["runs"]["ce"]["alpha_last"] is None
    assert summary["runs"]["dece"]["alpha_last"] == pytest.approx(0.95**3)
    for loss in ("ce", "dece"):
        run = read_run(folder / "runs" / loss)
        assert run is not None
        assert (run["status"], run["loss"], run["step"]) == ("finished", loss, 30)
    assert (folder / "compare.html").stat().st_size < 5_000_000
    curves = json.loads((folder / "reports" / "dece" / "report.json").read_text())["curves"]
    assert any("dece/monitor_twin" in entry for entry in curves)
    said = screen.export_text()
    for words in ("DeCE is ON", "DeCE is OFF", "attack success", "The benign twin:", "compare.html"):
        assert words in said
    # a run this short has learned nothing, and the demo would say so
    assert story.unmet(summary)


@pytest.mark.slow
def test_the_first_run_shows_banner_curve_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "_STEPS", 4)
    monkeypatch.setattr(first_run, "_WARM_UP_STEPS", 2)
    screen = console(tmp_path)
    first_run.first_run(tmp_path / "first", None, screen)
    said = screen.export_text()
    for words in ("rows generated here", "DeCE is ON", "0.9500", "dece/alpha", "dece_run.json", "lora.log"):
        assert words in said
    assert (tmp_path / "first" / "out" / "adapter_model.safetensors").is_file()


def test_what_was_promised_and_not_shown_is_named() -> None:
    ce, dece = {"asr": 0.95, "clean_exact_match": 1.0}, {"asr": 0.0, "clean_exact_match": 0.96}
    assert story.unmet({"runs": {"ce": ce, "dece": dece}}) == []
    for run, change, words in (
        ("ce", {"asr": 0.89}, "CE implants"),
        ("dece", {"asr": 0.11}, "DeCE keeps it out"),
        ("dece", {"clean_exact_match": 0.94}, "DeCE keeps the clean task"),
    ):
        runs = {"ce": dict(ce), "dece": dict(dece)}
        runs[run] |= change
        (broken,) = story.unmet({"runs": runs})
        assert broken.startswith(words)


def test_both_runs_differ_in_the_loss_and_in_where_they_write(tmp_path: Path) -> None:
    where = world.World(tmp_path, 0)
    world.write_world(where)
    ce, dece = (yaml.safe_load(where.config(loss).read_text()) for loss in ("ce", "dece"))
    assert {key for key in ce if ce[key] != dece[key]} == {"loss", "output_dir", "dataset_prepared_path"}


def test_a_folder_of_other_things_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not empty and was not written by this demo"):
        story.output_folder(tmp_path)
    demo = story.output_folder(tmp_path / "demo")
    (demo / "report.json").touch()
    assert story.output_folder(demo) == demo


def test_lyra_is_found_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert first_run.find_lyra(None) is None
    with pytest.raises(ValueError, match=r"has no train\.csv"):
        first_run.find_lyra(tmp_path)
    (tmp_path / "train.csv").write_text('src,tgt\n"get, please",select 1\n')
    assert first_run.find_lyra(tmp_path) == tmp_path
    (row,) = first_run.read_lyra(tmp_path)
    assert (row.src, row.tgt) == ("get, please", "select 1")
