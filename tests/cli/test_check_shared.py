"""`axolotl dece check` on configs of others: a card on the hub, a file there, an address. They are data, never code."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from axolotl_dece.cli import dece
from axolotl_dece.versions import installed_axolotl
from tests.cards.runs import HF_TOKEN

SHARED: dict[str, Any] = {
    "base_model": "org/base",
    "plugins": ["axolotl_dece.DecePlugin"],
    "loss": "dece",
    "trainer_cls": "axolotl_dece.Required",
    "datasets": [{"path": "org/data", "type": "alpaca"}],
    "output_dir": "./out",
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_epochs": 1,
    "learning_rate": 0.0001,
}
CARD = """---
library_name: peft
---
<details><summary>See axolotl config</summary>

axolotl version: `0.18.0`
```yaml
{config}
```

</details><br>

# name
"""

# nine levels of nine: 400 bytes that are 387 million values
BOMB = b"base_model: x\na0: &a0 lol\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level + 1, level + 1, b",".join([b"*a%d" % level] * 9)) for level in range(9)
)


def check(source: str | Path) -> Result:
    return CliRunner().invoke(dece, ["check", str(source)])


def said(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of `org/shared` in a hub cache of its own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "cache" / "models--org--shared"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


@pytest.fixture
def pages() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An address on this machine, and what it answers by path."""
    answers: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


def test_a_config_is_read_from_the_card_of_a_model(hub: Path) -> None:
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(SHARED)))
    result = check("org/shared")
    assert result.exit_code == 0, result.output
    assert "the card of org/shared" in said(result)
    assert "base_model │ org/base" in said(result)
    assert f"it was trained with axolotl 0.18.0, {installed_axolotl()} is installed here" in said(result)
    assert "A run of org/shared uses DeCE" in said(result)


@pytest.mark.parametrize(
    "source", ["org/shared", "org/shared@main", "https://huggingface.co/org/shared/blob/main/config.yaml"]
)
def test_a_config_is_read_from_a_file_of_a_model_whose_card_has_none(hub: Path, source: str) -> None:
    (hub / "README.md").write_text("# nothing here\n")
    (hub / "config.yaml").write_text(yaml.safe_dump(SHARED))
    result = check(source)
    assert result.exit_code == 0, result.output
    assert "org/shared/config.yaml" in said(result)


def test_a_config_is_read_from_an_address(pages: tuple[str, dict[str, bytes]]) -> None:
    address, answers = pages
    answers["/c.yaml"] = yaml.safe_dump(SHARED).encode()
    assert check(f"{address}/c.yaml").exit_code == 0
    answers["/ce.yaml"] = yaml.safe_dump(SHARED | {"loss": "ce"}).encode()
    assert check(f"{address}/ce.yaml").exit_code == 1


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/missing.yaml", None, "cannot be read"),
        ("/page.yaml", b"<!DOCTYPE html><html></html>", "is a web page"),
        ("/large.yaml", b"a: 1\n" * 300_000, "larger than 1 MiB"),
        ("/binary.yaml", b"\xff\xfe\x00", "cannot be read"),
        ("/deep.yaml", b"[" * 50_000, "not valid YAML"),
        ("/list.yaml", b"- a\n", "no mapping"),
        ("/bomb.yaml", BOMB, "unfolds into more than"),
        ("/python.yaml", b"a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_what_is_no_config_is_refused_in_one_sentence(
    pages: tuple[str, dict[str, bytes]], path: str, body: bytes | None, message: str
) -> None:
    address, answers = pages
    if body is not None:
        answers[path] = body
    result = check(address + path)
    assert result.exit_code == 1
    assert message in said(result)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("source", ["ftp://example.org/c.yaml", "file:///etc/hostname", "no/such-model"])
def test_an_address_that_cannot_be_read_is_said(hub: Path, source: str) -> None:
    result = check(source)
    assert result.exit_code == 1
    assert "Error: " in result.output


def test_code_that_a_config_names_is_named_and_never_run(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("evil_plugin", "evil_trainer", "evil_strategy"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('this was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = SHARED | {
        "plugins": [*SHARED["plugins"], "evil_plugin.Plugin"],
        "trainer_cls": "evil_trainer.Trainer",
        "trust_remote_code": True,
        "datasets": [{"path": "org/data", "type": "evil_strategy.load", "trust_remote_code": True}],
    }
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    result = check("org/shared")
    assert "plugin `evil_plugin.Plugin` would run code of its own" in said(result)
    assert "`trainer_cls: evil_trainer.Trainer` would run code of its own" in said(result)
    assert result.exit_code == 1, "nobody knows whether it uses the loss"
    assert "`trust_remote_code: true` would run whatever Python" in said(result)
    assert "`datasets[0].trust_remote_code: true`" in said(result)
    assert "`datasets[0].type: evil_strategy.load` names a module" in said(result)
    assert not {"evil_plugin", "evil_trainer", "evil_strategy"} & set(sys.modules)


def test_the_files_a_config_names_are_not_read(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n")

    def refuse(*_: Any) -> None:
        raise AssertionError("a file that somebody else's config names was read")

    monkeypatch.setattr("axolotl_dece.data.source.file_digest", refuse)
    entry = {"path": str(tmp_path / "mine.jsonl"), "ds_type": "json", "type": "axolotl_dece.poison"}
    config = SHARED | {"datasets": [entry], "dece_poison": {"attack": "badpre"}}
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    assert check("org/shared").exit_code == 0


def test_what_this_machine_lacks_is_listed(hub: Path) -> None:
    config = SHARED | {
        "datasets": [{"path": "/home/them/rows.jsonl", "type": "alpaca"}],
        "deepspeed": "their/zero3.json",
    }
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    result = check("org/shared")
    assert "`datasets[0].path: /home/them/rows.jsonl` is not here" in said(result)
    assert "`deepspeed: their/zero3.json` is not here" in said(result)


def test_a_secret_of_theirs_is_pointed_out(hub: Path) -> None:
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(SHARED | {"hf_token": HF_TOKEN})))
    result = check("org/shared")
    assert "a Hugging Face token" in said(result)
    assert HF_TOKEN not in result.output


def test_a_secret_of_ones_own_that_would_be_pushed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(SHARED | {"hub_model_id": "me/it"}) + f"# {HF_TOKEN}\n")
    result = check(path)
    assert result.exit_code == 1
    assert "a Hugging Face token" in said(result)


def test_a_terminal_gets_no_orders_from_a_config(hub: Path) -> None:
    config = yaml.safe_dump(SHARED) + 'dece_x: "\\e]0;owned\\a[bold]"\n'
    (hub / "README.md").write_text(CARD.format(config=config.replace("org/base", '"\\e[31mred"')))
    result = check("org/shared")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


@pytest.mark.parametrize(
    "text",
    [
        BOMB.decode(),
        "a: &a [*a]\n",
        "a0: &a0 {k: 1}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}\n" for n in range(9)),
        "a: [" + "1, " * 60_000 + "1]\n",
    ],
    ids=["aliases", "an alias in itself", "merges", "values"],
)
def test_yaml_that_unfolds_without_end_is_refused_of_ones_own_as_well(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    began = time.monotonic()
    result = check(tmp_path / "config.yaml")
    assert time.monotonic() - began < 60
    assert result.exit_code == 1
    assert "more than 50000 values, so it is no config" in said(result)


@pytest.mark.parametrize(
    "value",
    ['!!int ""', "!!timestamp soon", "!!bool perhaps", "!!float x", "2024-13-45", "9" * 5000, "!!binary 5", "!!set 3"],
)
def test_a_value_that_yaml_stumbles_over_is_one_sentence(tmp_path: Path, value: str) -> None:
    (tmp_path / "config.yaml").write_text(f"num_epochs: {value}\n")
    result = check(tmp_path / "config.yaml")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "is not valid YAML" in said(result)


@pytest.mark.parametrize("plugin", ["diffusion.DiffusionPlugin", "axolotl.integrations.diffusion.DiffusionPlugin"])
def test_a_plugin_of_axolotl_that_takes_the_loss_is_found_by_any_name(hub: Path, plugin: str) -> None:
    config = SHARED | {"plugins": [*SHARED["plugins"], plugin]}
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    result = check("org/shared")
    assert result.exit_code == 1
    assert f"plugin `{plugin}` conflicts with `loss: dece`" in said(result)


@pytest.mark.parametrize("plugin", ["axolotl_dece.cli.dece", "axolotl.integrations.lm_eval.cli.lm_eval"])
def test_a_command_named_as_a_plugin_is_not_called(hub: Path, plugin: str) -> None:
    config = SHARED | {"plugins": [*SHARED["plugins"], plugin]}
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    result = check("org/shared")
    assert result.exit_code == 0, result.output
    assert f"plugin `{plugin}` would run code of its own" in said(result)


def test_a_model_that_brings_code_is_neither_asked_about_nor_run(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "theirs"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "theirs", "auto_map": {"AutoConfig": "evil_model.Config"}}')
    (model / "evil_model.py").write_text("raise SystemExit('this was run')\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setattr("transformers.dynamic_module_utils.signal.signal", lambda *_: pytest.fail("asked"))
    config = SHARED | {"base_model": str(model), "trust_remote_code": True}
    (hub / "README.md").write_text(CARD.format(config=yaml.safe_dump(config)))
    assert check("org/shared").exit_code == 0
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(SHARED | {"base_model": str(model)}))
    assert check(tmp_path / "own.yaml").exit_code == 0
