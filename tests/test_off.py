"""Every known way in which DeCE would not be what trains the model: each ends with an error that names the culprit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from axolotl.integrations.base import PluginManager
from axolotl.utils.config import prepare_plugins, validate_config
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.config import AxolotlInputConfig

import axolotl_dece
from tests.tiny import LORA, base_config, run_cli, save_config, train

CUT = "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"
LIGER = "axolotl.integrations.liger.LigerPlugin"
DIFFUSION = "axolotl.integrations.diffusion.DiffusionPlugin"
OURS = "axolotl_dece.DecePlugin"

REFUSED_BEFORE_LOADING = {
    "misspelt key": ({"dece_alpha_fnal": 0.5}, "did you mean `dece_alpha_final`"),
    "misspelt loss key": ({"loss": None, "los": "dece"}, "did you mean `loss`"),
    "other frameworks' spelling": ({"loss": None, "use_dece": True}, "write `loss: dece`"),
    "wrong case": ({"loss": "DeCE"}, "write `loss: dece`"),
    "no loss at all": ({"loss": None}, "`loss` is not set"),
    "preference tuning": ({"rl": "dpo"}, "`rl: dpo` conflicts"),
    "reward model": ({"reward_model": True}, "`reward_model: True` conflicts"),
    "orpo": ({"orpo_alpha": 0.1}, "`orpo_alpha: 0.1` conflicts"),
    "eaft": ({"use_eaft": True}, "`use_eaft: True` conflicts"),
    "dft": ({"use_dft": True}, "`use_dft: True` conflicts"),
    "smoothing by the trainer": ({"label_smoothing_factor": 0.1}, "set `dece_label_smoothing`"),
    "chunked CE": ({"chunked_cross_entropy": True}, "`chunked_cross_entropy: True` conflicts"),
    "cut CE by its plugin": ({"plugins": [OURS, CUT]}, "CutCrossEntropyPlugin"),
    "Liger CE": ({"plugins": [OURS, LIGER], "liger_cross_entropy": True}, "`liger_cross_entropy: True`"),
    "Liger FLCE": (
        {"plugins": [OURS, LIGER], "liger_fused_linear_cross_entropy": True},
        "`liger_fused_linear_cross_entropy: True`",
    ),
    "distillation": ({"kd_trainer": True}, "`kd_trainer: True` conflicts"),
    "diffusion by its plugin": ({"plugins": [OURS, DIFFUSION]}, "DiffusionPlugin"),
    "context parallel": ({"context_parallel_size": 2}, "`context_parallel_size: 2` conflicts"),
    "context parallel as text": ({"context_parallel_size": "2"}, "`context_parallel_size: 2` conflicts"),
    "context parallel as a float": ({"context_parallel_size": 2.0}, "`context_parallel_size: 2.0` conflicts"),
    "context parallel by its block": ({"context_parallel": {"size": 2}}, "`context_parallel: {'size': 2}` conflicts"),
    "eaft as text": ({"use_eaft": "true"}, "`use_eaft: true` conflicts"),
    "diffusion by its short name": ({"plugins": [OURS, "diffusion.DiffusionPlugin"]}, "`diffusion.DiffusionPlugin`"),
    "diffusion by its module": (
        {"plugins": [OURS, "axolotl.integrations.diffusion.plugin.DiffusionPlugin"], "diffusion": {}},
        "plugin.DiffusionPlugin` conflicts",
    ),
    "a language model by diffusion": ({"diffusion_lm": {"from_causal_lm": True}}, "`diffusion_lm: {"),
    "training elsewhere": ({"plugins": [OURS, "axolotl.integrations.hatchery.HatcheryPlugin"]}, "HatcheryPlugin"),
    "flash attention's CE": ({"flash_attn_cross_entropy": True}, "`flash_attn_cross_entropy: True` conflicts"),
    "regional compilation": (
        {"torch_compile": True, "torch_compile_regional": True},
        "`torch_compile_regional: True` conflicts",
    ),
    "a plugin's default under another name": (
        {"plugins": [OURS, "tests.plugins.SwitchedOn"]},
        "`cut_cross_entropy: True` conflicts",
    ),
    "no end": ({"num_epochs": float("inf")}, "`num_epochs: inf` is not a number"),
    "tensor parallel": ({"tensor_parallel_size": 2}, "`tensor_parallel_size: 2` conflicts"),
    "epoch schedule on a stream": (
        {"streaming": True, "max_steps": 4, "dece_alpha_schedule": "epoch"},
        "streamed data has none; write `dece_alpha: 0.9`",
    ),
    "alpha that never leaves 1": ({"dece_alpha_final": 1.0}, "must be less than 1"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED_BEFORE_LOADING.values(), ids=REFUSED_BEFORE_LOADING.keys())
def test_refused_before_anything_is_loaded(workspace: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="axolotl-dece") as error:
        train(workspace, base_config(workspace, **changes))
    assert message in str(error.value)
    assert not (workspace / "out").exists()
    assert not (workspace / "prepared").exists()


REFUSED_BEFORE_TRAINING = {
    "another loss function": ({"plugins": ["tests.plugins.SetLossFunction", OURS]}, "compute_loss_func"),
    "another trainer": ({"plugins": ["tests.plugins.OwnTrainer", OURS]}, "tests.plugins._OwnLossTrainer"),
}


def test_a_key_that_is_no_text_is_refused_before_axolotl_stumbles_over_it(workspace: Path) -> None:
    with pytest.raises(ValueError, match="`True: 1` has a key that is no text"):
        train(workspace, base_config(workspace) | {True: 1})


@pytest.mark.parametrize("changes", [{"use_eaft": "false"}, {"context_parallel_size": "1"}, {"rl": None}], ids=str)
def test_what_axolotl_reads_as_off_is_not_refused(workspace: Path, changes: dict[str, Any]) -> None:
    PluginManager.get_instance().plugins.clear()
    cfg = DictDefault(base_config(workspace, **changes))
    prepare_plugins(cfg)
    assert validate_config(cfg).loss == "dece"


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "message"), REFUSED_BEFORE_TRAINING.values(), ids=REFUSED_BEFORE_TRAINING.keys())
def test_refused_before_training_begins(workspace: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=message):
        train(workspace, base_config(workspace, **changes))
    assert not (workspace / "out" / "dece_run.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["key", "environment"])
def test_regional_compilation_is_refused_before_training_begins(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """accelerate builds another model for it, and the one with our loss stays in eval mode: plain cross-entropy."""
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")
    monkeypatch.setenv("ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION", str(by == "environment"))
    config = base_config(workspace, torch_compile=True, torch_compile_backend="eager")
    if by == "key":
        if "torch_compile_regional" not in AxolotlInputConfig.model_fields:
            pytest.skip("axolotl has this key from 0.21 on")
        config["torch_compile_regional"] = True
    said = {"key": "torch_compile_regional", "environment": "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION"}[by]
    with pytest.raises(ValueError, match=said):
        train(workspace, config)
    assert not (workspace / "out" / "dece_run.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (False, "step 3: the loss of axolotl-dece was called 0 times for 1 micro-batches"),
        (True, "the model's `loss_function` is no longer ours"),
    ],
    ids=["logits", "fused head"],
)
def test_a_loss_that_is_taken_away_in_the_middle_stops_the_run_at_that_step(
    workspace: Path, fused: bool, message: str
) -> None:
    config = base_config(workspace, plugins=[OURS, "tests.plugins.TakeTheLossAway"], dece_fused_head=fused)
    with pytest.raises(RuntimeError, match=message):
        train(workspace, config)


@pytest.mark.slow
def test_a_loss_function_that_comes_after_our_check_stops_the_first_step(workspace: Path) -> None:
    config = base_config(workspace, plugins=[OURS, "tests.plugins.SetLossFunction"])
    with pytest.raises(RuntimeError, match="step 1: the loss of axolotl-dece was called 0 times"):
        train(workspace, config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugins", "message"),
    [(None, "is not in `plugins`"), (["tests.plugins.RememberStart"], "is not in `plugins`")],
    ids=["no plugins", "other plugins only"],
)
def test_required_refuses_to_train_where_the_plugin_is_not_listed(
    workspace: Path, plugins: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(workspace, base_config(workspace, plugins=plugins, trainer_cls="axolotl_dece.Required"))


def test_required_refuses_to_train_where_the_package_is_missing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "axolotl_dece", None)
    with pytest.raises(ValueError, match=r"Failed to load custom trainer class 'axolotl_dece\.Required'"):
        train(workspace, base_config(workspace, plugins=None, trainer_cls="axolotl_dece.Required"))


def test_a_package_that_cannot_be_imported_stops_axolotl(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """axolotl swallows ImportError from plugins and trains plain cross-entropy; RuntimeError it does not."""
    monkeypatch.setitem(sys.modules, "axolotl_dece.step", None)
    monkeypatch.delitem(sys.modules, "axolotl_dece.plugin", raising=False)
    monkeypatch.delattr(axolotl_dece, "plugin", raising=False)
    with pytest.raises(RuntimeError, match="training would go on without DeCE"):
        train(workspace, base_config(workspace))


def test_several_gpus_in_one_process_are_refused() -> None:
    from axolotl.core.trainers.base import AxolotlTrainer

    from axolotl_dece.trainer import check_trainer

    trainer = AxolotlTrainer.__new__(AxolotlTrainer)
    trainer.compute_loss_func, trainer.label_smoother = None, object()
    trainer.args = type("Args", (), {"n_gpu": 2})()
    trainer.accelerator = Accelerator(cpu=True)
    with pytest.raises(ValueError, match="one process drives 2 GPUs") as error:
        check_trainer(trainer)
    assert "label_smoothing_factor" in str(error.value), "both problems are said at once"


@pytest.mark.slow
def test_the_command_line_ends_non_zero_with_the_message(workspace: Path) -> None:
    config = save_config(workspace, base_config(workspace, use_eaft=True, dece_alpha_bas=0.9))
    result = run_cli("train", str(config), "--launcher", "python")
    assert result.returncode != 0
    assert "`use_eaft: True` conflicts with `loss: dece`" in result.stdout + result.stderr
    assert "did you mean `dece_alpha_base`" in result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["axolotl train", "accelerate launch -m axolotl.cli.train"])
def test_both_commands_of_the_readme_train_with_dece(workspace: Path, launch: str) -> None:
    config = save_config(workspace, base_config(workspace, max_steps=3, **LORA))
    result = subprocess.run([*launch.split(), str(config)], capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert result.stdout.count("DeCE is ON: alpha 0.95 ** epoch") == 1
    assert json.loads((workspace / "out" / "dece_run.json").read_text())["status"] == "finished"
