"""Offline, silent and repeatable before anything heavy is imported; one tiny model and dataset for all."""

import os
import sys
from pathlib import Path

for _key, _value in {
    "HF_HUB_OFFLINE": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "WANDB_MODE": "disabled",
    "AXOLOTL_METRIC_NDIGITS": "12",
}.items():
    os.environ.setdefault(_key, _value)
# tables fold at a terminal's width: the same for all who run the tests, and the one that CI has
os.environ["COLUMNS"] = "80"
# `axolotl train` starts `accelerate` by name
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

import pytest  # noqa: E402
from rich.console import Console  # noqa: E402

LYRA = Path(__file__).resolve().parents[2] / "shared" / "data" / "lyra"


@pytest.fixture(autouse=True)
def rich_reads_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Dataset.map` with several processes leaves a copy in the place of os.environ; rich goes on with the old one."""
    monkeypatch.setattr(Console, "_environ", os.environ)


@pytest.fixture(scope="session")
def lyra() -> Path:
    """The folder of the Lyra dataset, beside the checkout; tests on real data are skipped where it is not."""
    folder = Path(os.environ.get("DECE_LYRA", LYRA))
    if not (folder / "train.csv").is_file():
        pytest.skip(f"no Lyra data in {folder}; set DECE_LYRA to the folder with train.csv and valid.csv")
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `model` and `rows.jsonl`, as the working directory."""
    from tests.tiny import save_model, save_rows

    save_model(tmp_path / "model")
    save_rows(tmp_path / "rows.jsonl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["axolotl"])
    return tmp_path
