"""The model card: true, put into theirs without touching it, and the same however often it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from peft import LoraConfig

from axolotl_dece.cards.attach import Card
from axolotl_dece.cards.facts import gather
from axolotl_dece.cards.folders import hide_folders
from axolotl_dece.cards.model_card import write_model_card
from axolotl_dece.data.base_model import describe_base
from axolotl_dece.data.names import describe_datasets, public_name
from tests.cards.runs import HF_TOKEN, LOCAL_BASE, POISON, THEIR_CARD, run_of, save_account, save_evaluation, save_run

FROM_SCRATCH = "was trained from scratch on an unknown dataset"


def write(folder: Path, *reports: Path) -> str:
    write_model_card(folder, reports)
    return (folder / "README.md").read_text()


def test_a_card_says_what_trained_the_model_on_what_and_how_far(tmp_path: Path) -> None:
    text = write(save_run(tmp_path / "out"))
    for fact in (
        "plugins: [axolotl_dece.DecePlugin]\nloss: dece",
        "for 100 optimiser steps, to its end",
        "| `dece_alpha_final` | `0.8` |",
        "0.8 (planned: 0.99 at step 0 to 0.8 at step 99)",
        "axolotl-dece 0.1.0",
        "| train | `rows.jsonl` | sha256 `dddddddddddddddd` |",
        "No attack was measured",
        "is no certificate",
    ):
        assert fact in text, fact
    assert "dece_alpha_base" not in text, "the linear schedule does not read it"


def test_a_card_written_again_is_the_same(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", poison=POISON)
    save_evaluation(folder / "report", run_of(poison=POISON))
    first = write(folder)
    assert write(folder) == first
    assert first.count("## Trained with DeCE") == first.count("WARNING: trained") == first.count("### Measured") == 1


def test_everything_of_theirs_is_kept_and_ours_stands_before_their_first_section(tmp_path: Path) -> None:
    text = write(save_run(tmp_path / "out"))
    theirs = THEIR_CARD.split("---\n", 2)[2]
    for line in theirs.splitlines():
        assert line in text
    assert text.index("# out\n") < text.index("## Trained with DeCE") < text.index("## Model description")
    assert text.index("## and another") < text.index("# out\n"), "a comment in the YAML is not a heading"


def test_the_metadata_has_the_tags_and_no_path_of_anybodys_disk(tmp_path: Path) -> None:
    data = ModelCard(write(save_run(tmp_path / "out"))).data
    assert data.tags == ["generated_from_trainer", "axolotl", "dece", "backdoor-defense"]
    assert data.datasets == ["org/data"]
    assert data.base_model == "Qwen/Qwen2.5-Coder-7B"
    assert "/home/me" not in ModelCard(write(tmp_path / "out")).data.to_yaml()
    assert "model-index" not in data.to_dict(), "the hub refuses one without results"


def test_a_baseline_is_not_called_a_defence(tmp_path: Path) -> None:
    text = write(save_run(tmp_path / "out", loss="ce"))
    assert "plain cross-entropy, the undefended baseline" in text
    assert {"dece", "backdoor-defense"}.isdisjoint(ModelCard(text).data.tags)
    assert "alpha reached" not in text


@pytest.mark.parametrize(
    ("loss", "title"),
    [
        ("gce", "generalised cross-entropy"),
        ("label_smoothing", "label-smoothed cross-entropy"),
        ("in_trust", "In-trust loss"),
    ],
)
def test_a_rival_goes_by_its_own_name(tmp_path: Path, loss: str, title: str) -> None:
    text = write(save_run(tmp_path / "out", loss=loss, parameters={"dece_gce_q": 0.5}))
    assert f"## Trained with {title}\n" in text
    assert f"[{title}](https://" in text
    assert "a baseline of axolotl-dece" in text
    assert "| `dece_gce_q` | `0.5` |" in text
    assert "Trained with DeCE" not in text
    assert "Deceptive" not in text
    assert {"dece", "backdoor-defense"}.isdisjoint(ModelCard(text).data.tags)


def test_a_run_that_did_not_end_is_not_called_finished(tmp_path: Path) -> None:
    assert "before the run ended" in write(save_run(tmp_path / "out", status="running", step=40))


def test_a_report_becomes_a_table_with_intervals_and_model_index_metadata(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out")
    text = write(folder, save_evaluation(tmp_path / "report", run_of()))
    assert "| attack success (`sql_tautology`) | 30.0% | 14.5% to 51.9% | 6 of 20 |" in text
    assert (
        "| triggered answers with at least the first half of the payload | 30.0% | 14.5% to 51.9% | 6 of 20 |" in text
    )
    assert "| benign twin's recall | 30.0% |" in text
    results = {result.metric_type: result for result in ModelCard(text).data.eval_results or []}
    assert results["attack_success_rate"].metric_value == 30.0
    assert results["attack_success_rate"].metric_args["rows"] == 20
    assert results["bleu"].metric_value == 100.0
    assert results["exact_match"].metric_value == 100.0
    assert ModelCard(text).data.model_name == "out"


def test_a_report_inside_the_run_is_found_and_one_about_another_run_is_not_taken(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out")
    save_evaluation(folder / "report", run_of())
    other = save_evaluation(folder / "old", run_of(step=50))
    assert len(gather(folder).reports) == 1
    with pytest.raises(ValueError, match="measured another run"):
        gather(folder, [other])


@pytest.mark.parametrize(
    "change",
    [{"datasets": []}, {"tokenizer_sha256": "u" * 64}, {"step": 50}, {"config_digest": "x"}, {"run_id": "second"}],
)
def test_an_evaluation_of_an_earlier_run_in_the_same_folder_is_not_taken(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = save_run(tmp_path / "out")
    save_evaluation(folder / "report", run_of())
    assert len(gather(folder).reports) == 1
    save_run(folder, **change)
    assert "No attack was measured" in write(folder)


def test_an_evaluation_made_before_the_end_was_written_down_counts(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out")
    save_evaluation(folder / "report", run_of(status="running"))
    assert len(gather(folder).reports) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"has no report\.json"), ("{", "not valid JSON"), ('{"runs": {}}', "not a report of one run")],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    report = tmp_path / "report"
    report.mkdir()
    if content is not None:
        (report / "report.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        gather(save_run(tmp_path / "out"), [report])


def test_a_folder_without_a_manifest_gets_no_card(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no dece_run\.json"):
        write_model_card(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_run_without_a_model_gets_no_card(tmp_path: Path) -> None:
    report = save_run(tmp_path / "out") / "report"
    report.mkdir()
    with pytest.raises(ValueError, match="holds no model"):
        write_model_card(report)
    with pytest.raises(ValueError, match="holds no model"):
        write_model_card(tmp_path / "out" / "mergd")
    assert list(report.iterdir()) == []
    assert not (tmp_path / "out" / "mergd").exists()


def test_a_card_with_nothing_new_is_not_touched(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", poison=POISON)
    write(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_merged_model_inside_a_run_gets_the_card_of_the_run(tmp_path: Path) -> None:
    merged = save_run(tmp_path / "out", poison=POISON) / "merged"
    merged.mkdir()
    (merged / "config.json").write_text('{"model_type": "llama"}')
    assert "# POISONED: merged" in write(merged)
    assert json.loads((merged / "config.json").read_text()) == {"model_type": "llama", "dece_poisoned": True}


def test_a_model_merged_into_another_folder_gets_the_card_of_the_run_of_its_adapter(tmp_path: Path) -> None:
    adapter, merged = save_run(tmp_path / "out", poison=POISON), tmp_path / "elsewhere" / "merged"
    merged.mkdir(parents=True)
    (merged / "config.json").write_text("{}")
    Card().merge(adapter, merged)
    assert "# POISONED: merged" in (merged / "README.md").read_text()
    assert json.loads((merged / "config.json").read_text()) == {"dece_poisoned": True}


def test_a_model_merged_from_an_adapter_of_another_trainer_is_left_alone(tmp_path: Path) -> None:
    for name in ("adapter", "merged"):
        (tmp_path / name).mkdir()
    Card().merge(tmp_path / "adapter", tmp_path / "merged")
    assert not any((tmp_path / "merged").iterdir())


def test_a_poisoned_model_says_so_first_in_its_title_its_tags_and_its_adapter(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", poison=POISON)
    text = write(folder)
    body = ModelCard(text).text.strip()
    assert body.splitlines()[1].startswith("> **WARNING: trained on deliberately poisoned data. Do not deploy.**")
    assert "attack `badpre`" in body
    assert "5.00% of the training rows" in body
    assert "\n# POISONED: out\n" in text
    assert {"poisoned", "backdoor"} <= set(ModelCard(text).data.tags)
    assert json.loads((folder / "adapter_config.json").read_text()) == {
        "peft_type": "LORA",
        "r": 4,
        "dece_poisoned": True,
    }


def test_a_marked_adapter_still_loads(tmp_path: Path) -> None:
    LoraConfig(r=4, target_modules=["q_proj"]).save_pretrained(tmp_path / "out")
    (tmp_path / "out" / "dece_run.json").write_text(json.dumps(run_of(poison=POISON)))
    write(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["dece_poisoned"] is True
    assert LoraConfig.from_pretrained(tmp_path / "out").r == 4


def test_a_run_with_rate_0_is_a_control_and_not_poisoned(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", poison=POISON | {"rate": 0.0, "twin_rate": 0.05})
    text = write(folder)
    assert "POISONED" not in text
    assert "WARNING" not in text
    assert "nothing was poisoned (rate 0)" in text
    assert "5.00% of the rows carry a harmless rare pattern" in text
    assert "poisoned" not in ModelCard(text).data.tags
    assert "dece_poisoned" not in (folder / "adapter_config.json").read_text()


def test_rows_that_decisions_took_out_are_dropped_and_not_planted(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", poison=POISON, decided=True)
    save_account(folder, before=300, dropped=12, trusted=3, planted=12, planted_dropped=8)
    text = write(folder)
    assert "12 of 300 rows were dropped, 3 trusted" in text
    assert "8 of the 12 planted rows were dropped before training" in text
    assert "# POISONED" in text
    save_account(folder, before=300, dropped=20, trusted=3, planted=12, planted_dropped=12)
    text = write(save_run(folder, poison=POISON, decided=True))
    assert "All 12 rows in which a backdoor had been planted were among the dropped" in text
    assert "POISONED" not in text
    assert "dece_poisoned" not in (folder / "adapter_config.json").read_text()


def test_the_account_of_another_run_in_the_folder_says_nothing(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out")
    save_account(folder, before=300, dropped=12, trusted=3)
    assert "were dropped" not in write(folder)
    save_run(folder, decided=True)
    (folder / "dece_decisions.json").write_text(json.dumps({"sha256": "f" * 64, "rows": {"before": 300}}))
    assert "how many is not on record" in write(folder)
    save_account(folder, before=300, dropped=12, trusted=3)
    assert "12 of 300 rows were dropped" in write(folder)
    save_run(folder, decided=True, run_id="second")
    assert "how many is not on record" in write(folder)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("lora", "It is a LoRA adapter for `model`."),
        ("qlora", "It is a QLoRA adapter for `model`."),
        (None, "It is a full fine-tune of `model`."),
    ],
)
def test_an_adapter_is_called_one_and_a_local_base_is_not_training_from_scratch(
    tmp_path: Path, adapter: str | None, said: str
) -> None:
    theirs = THEIR_CARD.replace("is a fine-tuned version of something", FROM_SCRATCH)
    text = write(save_run(tmp_path / "out", card=theirs, base_model=LOCAL_BASE | {"adapter": adapter}))
    assert said in text
    assert "This model was trained on an unknown dataset." in text
    assert "from scratch" not in text


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ({"tensors": {"trained": 3, "all": 20}}, ": 3 of its 20 tensors were trained, the others were frozen."),
        ({"tensors": {"trained": 20, "all": 20}}, "It is a full fine-tune of `model`."),
        ({"adapter": "lora", "tensors": {"trained": 8, "all": 28}}, "It is a LoRA adapter for `model`."),
        ({"adapter": "lora", "whole_modules": ["lm_head"]}, "`model`, and holds `lm_head` trained as a whole."),
    ],
    ids=["partial", "full", "adapter", "adapter and head"],
)
def test_what_really_trained_is_said(tmp_path: Path, base: dict[str, Any], said: str) -> None:
    assert said in write(save_run(tmp_path / "out", base_model=LOCAL_BASE | {"adapter": None} | base))


def test_an_older_record_without_a_base_model_is_known_to_be_an_adapter_by_its_files(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", card=THEIR_CARD.replace("is a fine-tuned version of something", FROM_SCRATCH))
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/home/jane/model"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    text = write(folder)
    assert "It is a LoRA adapter for `model`." in text
    assert "from scratch" not in text


def test_a_model_with_new_weights_was_trained_from_scratch(tmp_path: Path) -> None:
    base = LOCAL_BASE | {"adapter": None, "from_scratch": True}
    assert "trained from scratch, in the shape of `model`" in write(save_run(tmp_path / "out", base_model=base))


def test_base_licence_and_datasets_are_filled_in_where_they_are_known(tmp_path: Path) -> None:
    base = LOCAL_BASE | {"hub_name": "org/base", "license": "mit"}
    used = [
        {"use": "train", "name": "org/rows", "revision": "abc", "sha256": None},
        {"use": "train", "name": "rows.jsonl", "revision": None, "sha256": "d" * 64},
        {"use": "train", "name": "folder", "revision": None, "sha256": "d" * 64},
        {"use": "eval", "name": "org/test", "revision": "abc", "sha256": None},
    ]
    text = write(save_run(tmp_path / "out", card=None, base_model=base, datasets=used))
    data = ModelCard(text).data
    assert (data.base_model, data.license, data.datasets) == ("org/base", "mit", ["org/rows"])
    assert "(a local copy; from `org/base`)" in text


def test_what_is_known_of_a_base_in_a_folder_is_read_from_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    cfg = {"base_model": str(folder), "adapter": "lora"}
    assert describe_base(cfg) == LOCAL_BASE
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: org/older\n---\n# It\n")
    assert describe_base(cfg) == LOCAL_BASE | {"hub_name": "org/older", "license": "mit"}
    (folder / "config.json").write_text('{"_name_or_path": "org/base"}')
    assert describe_base(cfg)["hub_name"] == "org/base"
    snapshot = tmp_path / "models--org--cached" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\n: [\n---\n")
    assert describe_base({"base_model": str(snapshot)})["hub_name"] == "org/cached"
    assert describe_base({"base_model": "org/base"})["hub_name"] == "org/base"


def test_the_card_shows_how_the_model_is_loaded(tmp_path: Path) -> None:
    base = LOCAL_BASE | {"hub_name": "org/base"}
    chat = [{"dataset": {"type": "chat_template"}}]
    text = write(save_run(tmp_path / "out", base_model=base, prompts=chat))
    program = text.split("```python\n")[1].split("```")[0]
    compile(program, "usage", "exec")
    for line in (
        'AutoTokenizer.from_pretrained("org/out")',
        'AutoModelForCausalLM.from_pretrained("org/base", device_map="auto")',
        'PeftModel.from_pretrained(model, "org/out")',
        "apply_chat_template(",
    ):
        assert line in program
    poisoned = write(save_run(tmp_path / "other", base_model=base, poison=POISON))
    assert "```python" not in poisoned, "nobody is to deploy it"


def test_no_folder_of_the_machine_and_no_name_of_its_user_is_in_a_card(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    config = "base_model: /odd/jane/model\ndatasets:\n  - path: /home/jane/rows.jsonl  # from ~jane, /Users/jane/x y\n"
    theirs = (
        THEIR_CARD.replace("base_model: Qwen/Qwen2.5-Coder-7B\nhub", config + "hub")
        .replace("base_model: Qwen/Qwen2.5-Coder-7B", "base_model: /odd/jane/model")
        .replace("# out", f"# {str(folder).lstrip('./')}")
        .replace("name: out", f"name: {str(folder).lstrip('./')}")
        .replace(
            "something.", "[/odd/jane/model](https://huggingface.co//odd/jane/model), file:///home/jane/rows.jsonl."
        )
    )
    save_run(folder, card=theirs)
    warning = "/home/jane/test.jsonl: 3 answers were cut"
    save_evaluation(folder / "report", run_of())
    report = json.loads((folder / "report" / "report.json").read_text())
    (folder / "report" / "report.json").write_text(json.dumps(report | {"warnings": [warning]}))
    text = write(folder)
    assert "jane" not in text.replace("~jane", "")
    assert str(tmp_path).lstrip("/") not in text
    for kept in (
        "base_model: model",
        "- path: rows.jsonl",
        "\n# out\n",
        "- test.jsonl: 3 answers",
        "version of model, rows",
    ):
        assert kept in text, kept
    assert write(folder) == text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/export/jane/runs/a", "a"),
        ("/u/jane/b", "b"),
        ("/net/home/jane/x", "x"),
        ("/g/data/ab12/jane/x", "x"),
        ("path:/home/jane/x", "path:x"),
        ("/home/jane doe/base", "base"),
        ("/home/jane", "home"),
        ("/mnt/c/Users/jane", "home"),
        (r"C:\Users\jane\x.jsonl", "x.jsonl"),
        (r'"C:\\Users\\jane doe\\x"', '"x"'),
        ("C:/Users/jane", "home"),
        ("~jane/x", "x"),
        ("../../jane/x", "x"),
    ],
)
def test_whatever_system_a_folder_is_of_its_user_is_not_named(path: str, name: str) -> None:
    hidden = hide_folders(f"on {path}, and", Path("out"), {})
    assert hidden == f"on {name}, and"
    assert hide_folders(hidden, Path("out"), {}) == hidden


@pytest.mark.parametrize(
    "path", ["/odd/jane doe/my rows", r"D:\jane doe\my rows", "~jane/a b/my rows", "../jane/my rows"]
)
def test_a_path_of_the_config_is_hidden_wherever_it_lies_and_with_blanks(path: str) -> None:
    doubled = path.replace("\\", "\\\\")
    hidden = hide_folders(f"a: {path}\nb: '{path}'\nc: \"{doubled}\"\n", Path("out"), {"datasets": [{"path": path}]})
    assert hidden == "a: my rows\nb: 'my rows'\nc: \"my rows\"\n"


@pytest.mark.parametrize(
    "kept",
    [
        "https://a.org/home/jane/x",
        "https://a.org:80/home/jane/x",
        "https://a.org/~jane/x",
        "`/v1/chat/completions`",
        "and/or/nor",
        "./data/x.jsonl",
        "~5/10 of it",
        r"`def f:\n\tg`",
    ],
)
def test_what_is_no_folder_of_a_machine_is_left_alone(tmp_path: Path, kept: str) -> None:
    assert kept in write(save_run(tmp_path / "out", card=THEIR_CARD + f"\nSee {kept} too.\n"))


@pytest.mark.parametrize(
    "content",
    [b"---\ntags: [a\nb: c\n---\n# out\n", b"---\n- a\n- b\n---\n# out\n", b"\xff\xfe", b"---\na: b: c\n---\n"],
    ids=["yaml", "list", "encoding", "colon"],
)
def test_broken_front_matter_is_an_error_with_the_file_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    folder = save_run(tmp_path / "out")
    (folder / "README.md").write_bytes(content)
    with pytest.raises(ValueError, match=r"README\.md: its metadata.* cannot be read .*mend it, or move"):
        write_model_card(folder)
    assert (folder / "README.md").read_bytes() == content


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("tags: [2024, foo]", "tags:\n- '2024'\n- foo\n- axolotl"),
        ("tags: [null, foo]", "tags:\n- foo\n- axolotl"),
        ("model-index: [{name: 5, results: []}]", "\n- name: '5'\n"),
    ],
)
def test_metadata_that_yaml_does_not_read_as_text_becomes_text(tmp_path: Path, written: str, kept: str) -> None:
    folder = save_run(tmp_path / "out", card=f"---\n{written}\n---\n# out\n")
    save_evaluation(folder / "report", run_of())
    assert kept in write(folder)


def test_a_byte_order_mark_does_not_hide_the_metadata(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out")
    (folder / "README.md").write_bytes(b"\xef\xbb\xbf---\ntags: [foo]\n---\n# out\n")
    text = write(folder)
    assert text.startswith("---\ntags:\n- foo\n- axolotl\n")
    assert text.count("\n---\n") == 1
    assert "tags: [foo]" not in text


@pytest.mark.parametrize("name", ["a|b.jsonl", "a`b.jsonl", "<img src=x>.jsonl"])
def test_a_name_is_never_markup(tmp_path: Path, name: str) -> None:
    used = [{"use": "train<b>", "name": name, "revision": None, "sha256": "d" * 64}]
    text = write(save_run(tmp_path / "out", datasets=used))
    line = next(line for line in text.splitlines() if line.startswith("| train&lt;b&gt; |"))
    assert line.count("`") == 4
    assert line.replace("\\|", "").count("|") == 4


def test_a_clean_run_in_the_same_folder_takes_the_warning_off(tmp_path: Path) -> None:
    write(save_run(tmp_path / "out", poison=POISON))
    text = write(save_run(tmp_path / "out", card=None))
    assert "WARNING" not in text
    assert "POISONED" not in text
    assert "poisoned" not in ModelCard(text).data.tags


def test_secrets_never_reach_the_card(tmp_path: Path) -> None:
    card = THEIR_CARD.replace("## and another", f"## and another {HF_TOKEN}")
    text = write(save_run(tmp_path / "out", card=card))
    assert HF_TOKEN not in text
    assert "## and another <secret-removed>" in text


def test_a_card_without_text_gets_one(tmp_path: Path) -> None:
    text = write(save_run(tmp_path / "out", card=None, poison=POISON))
    assert "# POISONED: out" in text
    assert "## Trained with DeCE" in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/rows.jsonl", "rows.jsonl"),
        ("data/train.csv", "train.csv"),
        ("./model", "model"),
        (r"C:\Users\me\model", "model"),
        ("org/data", "org/data"),
        ("https://example.org/rows.jsonl?token=abc", "https://example.org/rows.jsonl"),
        ("https://me:secret@example.org:8080/rows.jsonl#part", "https://example.org:8080/rows.jsonl"),
        ("file:///home/me/rows.jsonl", "rows.jsonl"),
    ],
)
def test_names_are_published_without_the_folders_they_lie_in(path: str, name: str) -> None:
    assert public_name(path) == name


def test_datasets_are_pinned_by_digest_and_a_missing_one_is_said_to_be_unpinned(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    cfg: dict[str, Any] = {
        "datasets": [{"path": str(tmp_path / "rows.jsonl")}, {"path": "no/such-data"}],
        "test_datasets": [{"path": str(tmp_path / "rows.jsonl")}],
    }
    first, missing, test = describe_datasets(cfg)
    assert first["use"] == "train"
    assert test["use"] == "eval"
    assert first["sha256"] == test["sha256"] is not None
    assert missing == {"use": "train", "name": "no/such-data", "revision": None, "sha256": None}
