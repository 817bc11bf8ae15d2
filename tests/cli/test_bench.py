"""`axolotl dece bench`: numbers for who can run, a reason for who cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from axolotl_dece.benchmark import contestants as module
from axolotl_dece.benchmark.contestants import contestants
from axolotl_dece.benchmark.measure import Shape, measure
from axolotl_dece.cli import dece
from axolotl_dece.loss.criterion import Mixture

TINY = ["bench", "--device", "cpu", "--tokens", "64", "--vocab", "500", "--hidden", "16", "--rounds", "2"]
CPU = torch.device("cpu")


def test_it_measures_everyone_here_and_names_everyone_missing() -> None:
    done = CliRunner().invoke(dece, TINY, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    found = json.loads(CliRunner().invoke(dece, [*TINY, "--json"]).stdout)
    assert found["shape"] == {
        **{"tokens": 64, "vocab": 500, "hidden": 16},
        **{"dtype": "float32", "frozen_head": False, "masked": 0.0},
    }
    everyone = contestants(CPU, torch.float32, Mixture(0.985))
    assert [r["name"] for r in found["results"]] == list(everyone)
    # a dumb terminal has 80 columns, whatever COLUMNS says
    said = " ".join(done.output.split())
    for result in found["results"]:
        assert result["name"] in said
        if result["missing"]:
            assert f"{result['name']}: {result['missing']}" in said
        else:
            assert len(result["seconds"]) == 2
            assert result["median_seconds"] > 0 < result["peak_bytes"]


def test_all_cross_entropies_and_all_forms_of_dece_find_the_same_loss() -> None:
    shape = Shape(64, 500, 16, torch.float32, masked=0.3)
    loss = {r.name: r.loss for r in measure(shape, CPU, Mixture(0.9), rounds=1) if r.missing is None}
    mine = [value for name, value in loss.items() if name.startswith("DeCE") and "label_smoothing 0" not in name]
    theirs = [value for name, value in loss.items() if not name.startswith("DeCE")]
    assert len(mine) == 3 <= len(theirs)
    assert mine == pytest.approx([mine[0]] * 3, rel=1e-5)
    assert theirs == pytest.approx([theirs[0]] * len(theirs), rel=1e-5)


def test_peak_memory_is_what_the_allocator_gave_out() -> None:
    """The gradient of a trained head is V * H numbers more, for the last contestant as for the first."""
    peaks = {}
    for frozen in (True, False):
        shape = Shape(16, 4000, 64, torch.float32, frozen_head=frozen)
        peaks[frozen] = [r.peak_bytes for r in measure(shape, CPU, Mixture(0.9), rounds=1) if r.peak_bytes]
    more = [trained - without for trained, without in zip(peaks[False], peaks[True], strict=True)]
    # torch's own fused loss makes the gradient whether it is wanted or not
    assert more[:2] == pytest.approx([4000 * 64 * 4] * 2, rel=0.05)


def test_no_contestant_is_credited_with_what_the_one_before_gave_back() -> None:
    shape = Shape(64, 4000, 64, torch.float32)
    logits, gradient = 64 * 4000 * 4, 4000 * 64 * 4
    for result in measure(shape, CPU, Mixture(0.9), rounds=1):
        if result.peak_bytes:
            assert result.peak_bytes >= gradient + (0 if "torch" in result.name else logits), result.name


def test_out_of_memory_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    from axolotl_dece.benchmark import measure as measuring

    monkeypatch.setattr(measuring, "contestants", lambda *_: {"big": hungry, "absent": "not here"})
    big, absent = measure(Shape(8, 8, 8, torch.float32), CPU, Mixture(0.9), rounds=1)
    assert (big.missing, absent.missing) == ("out of memory", "not here")


def test_a_package_that_is_not_installed_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    missing = [c for c in contestants(CPU, torch.float32, Mixture(0.9)).values() if isinstance(c, str)]
    assert len(missing) == 3
    assert all("not installed: " in reason for reason in missing)


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--alpha", "2"], "--alpha"), (["--vocab", "1"], "--vocab"), (["--device", "cuda"], "sees no GPU")],
)
def test_a_wrong_option_is_named(args: list[str], message: str) -> None:
    if torch.cuda.is_available() and "cuda" in args:
        pytest.skip("there is a GPU")
    done = CliRunner().invoke(dece, [*TINY, *args])
    assert done.exit_code == 2
    assert message in done.output
