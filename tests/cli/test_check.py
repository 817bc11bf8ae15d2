"""`axolotl dece check`: exit 0 only where a run would use DeCE, and every reason said."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axolotl_dece import versions
from axolotl_dece.cli import dece
from tests.tiny import base_config, save_config

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


def test_the_colon_form_of_a_plugin_is_taken_where_this_axolotl_reads_it(workspace: Path) -> None:
    result = check_config(workspace, plugins=["axolotl_dece:DecePlugin"])
    if versions.COLON_FORM.is_here:
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
