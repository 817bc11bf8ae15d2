"""`axolotl dece check`: exit 0 only where a run would use DeCE, and every reason said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import BambaConfig, BartConfig

from axolotl_dece import differences, versions
from axolotl_dece.cli import dece
from tests.tiny import LORA, base_config, save_config

OURS = "axolotl_dece.DecePlugin"
DUPLICATES = "loss: dece\nplugins: [axolotl_dece.DecePlugin]\nloss: ce\n"


def check(path: Path) -> Result:
    return CliRunner().invoke(dece, ["check", str(path)])


def said(result: Result) -> str:
    """The output without the line breaks of a terminal's width."""
    return " ".join(result.output.split())


def check_config(workspace: Path, **changes: Any) -> Result:
    return check(save_config(workspace, base_config(workspace, **changes)))


def test_a_config_that_would_train_with_dece_exits_with_zero_and_says_what_it_would_do(workspace: Path) -> None:
    result = check_config(workspace, trainer_cls="axolotl_dece.Required")
    assert result.exit_code == 0, result.output
    assert "plugin `axolotl_dece.DecePlugin` is listed and importable" in said(result)
    assert "axolotl accepts this config" in said(result)
    assert "alpha (epoch): epoch 1: 0.95" in said(result)
    assert "256 positions x 178 tokens = 0.00 GiB in bf16" in said(result)
    assert "cannot train anywhere without the plugin" in said(result)
    assert "warning" not in said(result)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plugins": None}, "is not in `plugins`"),
        ({"plugins": "axolotl_dece.DecePlugin"}, "must be a list"),
        (
            {"plugins": ["axolotl_dece.DecePlugin", "no_such_package.Plugin"]},
            "`no_such_package.Plugin` cannot be loaded",
        ),
        ({"plugins": ["axolotl_dece.DecePluggin"]}, "`axolotl_dece.DecePluggin` cannot be loaded"),
        ({"loss": "ce"}, "trains plain cross-entropy, on purpose"),
        ({"loss": "gce"}, "`loss: gce` trains generalised cross-entropy, on purpose"),
        ({"loss": ["dece"]}, "must be 'ce', 'dece'"),
        ({"loss": None}, "`loss` is not set"),
        ({"dece_alpha_finl": 0.3}, "did you mean `dece_alpha_final`"),
        ({"use_eaft": True, "rl": "dpo"}, "2 errors"),
        ({"sequence_len": "long"}, "axolotl refuses this config"),
    ],
)
def test_a_config_that_would_not_exits_with_one_and_says_why(
    workspace: Path, changes: dict[str, Any], message: str
) -> None:
    result = check_config(workspace, **changes)
    assert result.exit_code == 1
    assert message in said(result)
    assert "DeCE would not be used" in said(result)


def test_keys_written_twice_are_found_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text(DUPLICATES)
    result = check(tmp_path / "twice.yaml")
    assert result.exit_code == 1
    assert "`loss` is written twice, in lines 1 and 3" in said(result)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("- a\n- b\n", "no mapping"), ("a: [1\n", "not valid YAML"), ("", "no mapping")],
)
def test_what_is_not_a_config_is_said_in_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "broken.yaml"
    if content is not None:
        path.write_text(content)
    result = check(path)
    assert result.exit_code == 1
    assert message in said(result)
    assert "Traceback" not in said(result)


def test_a_model_that_is_elsewhere_and_a_missing_third_line_are_warnings(workspace: Path) -> None:
    result = check_config(workspace, base_model="some/model", dece_alpha_base=0.985, num_epochs=6)
    assert result.exit_code == 0, result.output
    assert "some/model is not on this machine" in said(result)
    assert "trains plain cross-entropy on a machine that lacks the plugin" in said(result)
    assert "epoch 1: 0.985" in said(result)
    assert "epoch 6: 0.9133" in said(result)


def test_an_untested_axolotl_is_an_error_with_the_remedy_and_nothing_else_is_asked(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axolotl_dece.versions.version", lambda name: "0.18.0")
    result = check_config(workspace)
    assert result.exit_code == 1
    assert "axolotl 0.18.0 is installed" in said(result)
    assert f"pip install 'axolotl{versions.TESTED}'" in said(result)
    assert "DeCE would not be used: 1 error" in said(result)


LIGER = "axolotl.integrations.liger.LigerPlugin"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer_cls": "no.such.Trainer"}, "Failed to load custom trainer class"),
        ({"trainer_cls": "trl.SFTTrainer"}, "computes its own loss"),
        ({"plugins": [OURS, "tests.plugins.OwnTrainer"]}, "the trainer is tests.plugins._OwnLossTrainer"),
        ({"plugins": [OURS, "diffusion.DiffusionPlugin"]}, "`diffusion.DiffusionPlugin` conflicts"),
        ({"plugins": [OURS, "tests.plugins.SwitchedOn"]}, "`cut_cross_entropy: True` conflicts"),
        ({"plugins": [OURS, "axolotl_dece.plugin.DecePlugin"]}, "keep one of them"),
        ({"plugins": [OURS, 5]}, "plugin `5` cannot be loaded"),
        ({"plugins": {"a": 1}}, "must be a list"),
        ({"context_parallel_size": "2"}, "`context_parallel_size: 2` conflicts"),
        ({"num_epochs": float("inf")}, "`num_epochs: inf` is not a number"),
        ({"num_epochs": [3]}, "axolotl refuses this config"),
        ({"micro_batch_size": float("inf")}, "axolotl refuses this config"),
        ({"datasets": 5}, "axolotl refuses this config"),
        ({"datasets": [None]}, "axolotl refuses this config"),
        ({"datasets": "rows.jsonl"}, "axolotl refuses this config"),
        ({"adapter": ["lora"]}, "axolotl refuses this config"),
        ({"max_packed_sequence_len": 1024}, "axolotl refuses this config"),
        ({"trainer_cls": "os.getcwd"}, "the trainer is no class"),
        ({"micro_batch_size": -1}, "`micro_batch_size: -1` must be at least 1"),
        ({"gradient_accumulation_steps": 0}, "`gradient_accumulation_steps: 0` must be at least 1"),
        ({"overrides_of_model_config": {"vocab_size": "x"}}, "transformers refuses the model's config"),
    ],
    ids=str,
)
def test_what_the_run_refuses_is_refused(workspace: Path, changes: dict[str, Any], message: str) -> None:
    result = check_config(workspace, **changes)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert message in said(result)


@pytest.mark.parametrize("name", ["gone.jsonl", ["rows.jsonl", "no/*.jsonl"]], ids=["one", "among others"])
def test_data_files_that_are_not_here_are_said(workspace: Path, name: Any) -> None:
    entry = {"path": "json", "data_files": name, "type": "alpaca"}
    result = check_config(workspace, datasets=[entry])
    missing = name if isinstance(name, str) else name[-1]
    assert f"`datasets[0].data_files: {missing}` is not here" in said(result)
    assert "rows.jsonl` is not here" not in said(result)


@pytest.mark.parametrize("key", ["true", "1", "2.5", "~", "[a, b]", "2024-01-01"])
def test_a_key_that_is_no_text_is_said(workspace: Path, key: str) -> None:
    path = save_config(workspace, base_config(workspace))
    path.write_text(f"{path.read_text()}? {key}\n: 1\n")
    result = check(path)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert "has a key that is no text" in said(result) or "unhashable" in said(result)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_epochs": "3", "micro_batch_size": "2", "sequence_len": "128", "learning_rate": "1e-4"},
        {"num_epochs": "2.5", "micro_batch_size": 2.0},
        {"use_eaft": "false"},
        {"plugins": ["axolotl_dece.plugin.DecePlugin"]},
        {"plugins": [OURS, LIGER], "liger_rms_norm": False, "liger_use_token_scaling": None},
        {"num_epochs": 0},
        {"num_epochs": 1e300},
        {"sequence_len": 10**400},
    ],
    ids=str,
)
def test_what_the_run_accepts_is_accepted(workspace: Path, changes: dict[str, Any]) -> None:
    result = check_config(workspace, **changes)
    assert result.exit_code == 0, result.output


def test_numbers_are_judged_as_axolotl_validated_them(workspace: Path) -> None:
    result = check_config(workspace, num_epochs="3", micro_batch_size="4", sequence_len="64")
    assert "epoch 1: 0.95, epoch 2: 0.9025, epoch 3: 0.8574" in said(result)
    assert "256 positions x" in said(result)


def test_a_base_model_that_adds_a_loss_on_its_logits_is_found_and_the_remedy_works(workspace: Path) -> None:
    BambaConfig(vocab_size=178, z_loss_coefficient=0.001).save_pretrained(workspace / "bamba")
    model = str(workspace / "bamba")
    assert "`z_loss_coefficient: 0.001`" in said(check_config(workspace, base_model=model))
    remedy = {"z_loss_coefficient": 0.0}
    assert "z_loss" not in said(check_config(workspace, base_model=model, overrides_of_model_config=remedy))


def test_a_base_model_that_computes_its_loss_inline_is_found_before_it_is_loaded(workspace: Path) -> None:
    BartConfig(vocab_size=178, architectures=["BartForCausalLM"]).save_pretrained(workspace / "bart")
    result = check_config(workspace, base_model=str(workspace / "bart"))
    assert result.exit_code == 1
    assert "BartForCausalLM computes its loss inside its own forward" in said(result)


def test_merged_layers_are_not_keys_written_twice(workspace: Path) -> None:
    path = save_config(workspace, base_config(workspace, num_epochs=None, seed=None))
    layers = "a: &a {seed: 1, num_epochs: 1}\nb: &b {<<: *a, seed: 2}\nc: &c {<<: *b, seed: 3}\n"
    path.write_text(f"{layers}<<: [*c, *b]\n{path.read_text()}d: *b\n")
    result = check(path)
    assert "written twice" not in said(result)
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="the reasons are those of a machine without a GPU")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bf16": None}, "`bf16: auto`, the default, becomes fp16 without a GPU"),
        ({"bf16": True}, "`bf16: true` needs a GPU"),
        ({"bf16": False, "fp16": True}, "`fp16: true` needs a GPU"),
        ({"adapter": "lora", "lora_r": 4, "lora_alpha": 8, "lora_target_linear": True}, "`lora_mlp_kernel: false`"),
        ({"flash_attention": True}, "`attn_implementation: flash_attention_2` trains on a CUDA GPU only"),
        ({"flex_attention": True}, "`attn_implementation: flex_attention` trains on a CUDA GPU only"),
        ({"sage_attention": True}, "SageAttention supports compute capability"),
        ({"tf32": True}, "`tf32: true` needs a CUDA GPU"),
        ({"plugins": [OURS, LIGER], "liger_rms_norm": True}, "`liger_rms_norm: true` needs a CUDA GPU"),
        ({"base_model": "./nowhere"}, "`base_model: ./nowhere` is not here"),
    ],
    ids=str,
)
def test_the_loss_is_right_and_here_it_will_not_run(workspace: Path, changes: dict[str, Any], reason: str) -> None:
    result = check_config(workspace, **changes)
    assert result.exit_code == 0, result.output
    assert "uses DeCE" in said(result)
    assert "on this machine it will not run" in said(result)
    assert reason in said(result)


@pytest.mark.parametrize("changes", [{}, LORA, {"tf32": False, "attn_implementation": "sdpa"}], ids=str)
def test_what_trains_on_a_cpu_has_no_obstacle(workspace: Path, changes: dict[str, Any]) -> None:
    result = check_config(workspace, **changes)
    assert "on this machine" not in said(result), result.output


def test_the_colon_form_of_a_plugin_is_taken_where_this_axolotl_reads_it(workspace: Path) -> None:
    result = check_config(workspace, plugins=["axolotl_dece:DecePlugin"])
    if differences.COLON_FORM.is_here:
        assert result.exit_code == 0, result.output
        assert "plugin `axolotl_dece:DecePlugin` is listed and importable" in said(result)
    else:
        assert result.exit_code == 1
        assert f"axolotl {versions.installed_axolotl()} reads no colon; write a dot in its place" in said(result)


def test_what_axolotl_does_with_a_plugin_that_is_missing_is_said_as_it_is(workspace: Path) -> None:
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import prepare_plugins

    missing = "no_such_package.Plugin"
    try:
        prepare_plugins({"plugins": [missing]})
        then = "axolotl would go on without it"
    except ImportError:
        then = "axolotl would stop"
    assert missing not in PluginManager.get_instance().plugins
    assert then in said(check_config(workspace, plugins=["axolotl_dece.DecePlugin", missing]))
