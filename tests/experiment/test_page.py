"""The page of an experiment is one file, takes names as text, and draws its charts in a browser."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from axolotl_dece.experiment.page import write_page
from axolotl_dece.experiment.page.charts import dots, learning, over_rates, sections
from axolotl_dece.util.page import MAX_BYTES
from tests.evaluation.reports import CURVES
from tests.experiment.grids import made_up, small_grid

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def made(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    return [made_up(cell, asr=cell.seed / 2) for cell in small_grid(folder, **changes).cells()]


def save_page(folder: Path, **changes: Any) -> Path:
    results = made(folder, **changes)
    return write_page("x", results, {one["digest"]: CURVES for one in results}, folder / "page.html", [HOSTILE])


def test_every_figure_is_one_that_plotly_knows(tmp_path: Path) -> None:
    results = made(tmp_path, rates=[0.05, 0.1])
    found = sections(results, {one["digest"]: CURVES for one in results})
    assert [section["title"] for section in found] == [
        "ripple, over the rates", "ripple, 5 % of the rows poisoned", "ripple, 10 % of the rows poisoned",
    ]  # fmt: skip
    assert [len(section["charts"]) for section in found] == [1, 3, 3]
    for section in found:
        for chart in section["charts"]:
            go.Figure(data=chart["data"], layout=chart["layout"])


def test_a_dot_is_the_mean_of_its_seeds_with_their_range(tmp_path: Path) -> None:
    attack = dots(made(tmp_path))["data"][0]
    assert (attack["name"], attack["x"]) == ("attack success", [0.25, 0.25])
    assert (attack["error_x"]["array"], attack["error_x"]["arrayminus"]) == ([0.25, 0.25], [0.25, 0.25])
    assert "95 % interval of the mean 0.0% to 100.0%, 2 seeds" in attack["text"][0]


def test_a_curve_is_the_mean_where_all_seeds_have_a_step(tmp_path: Path) -> None:
    results = made(tmp_path, arms={"ce": {"loss": "ce"}})
    curves = {
        results[0]["digest"]: [{"step": s, "dece/monitor_asr": v} for s, v in ((1, 0.0), (2, 0.2), (3, 1.0))],
        results[1]["digest"]: [{"step": s, "dece/monitor_asr": v} for s, v in ((1, 0.5), (2, 0.4))],
    }
    (chart,) = learning(results, curves)
    mean = chart["data"][-1]
    assert (mean["x"], mean["y"]) == ([1, 2], [0.25, 0.30000000000000004])
    assert [(line["name"], line["line"]["width"] > 1) for line in chart["data"]] == [
        ("attack, seed 0", False), ("attack, seed 1", False), ("attack", True),
    ]  # fmt: skip


def test_lines_that_lie_on_each_other_are_all_seen_the_attack_on_top(tmp_path: Path) -> None:
    """Each has a dash, a width and a mark of its own; in the gaps of the last the others show."""
    results = made(tmp_path, seeds=[0])
    alike = [
        {"step": at, **dict.fromkeys(("dece/monitor_asr", "dece/monitor_clean", "dece/monitor_twin"), 0.0)}
        for at in (1, 2)
    ]
    for chart in learning(results, {one["digest"]: alike for one in results}):
        lines = chart["data"]
        assert [line["name"] for line in lines] == ["clean tokens", "twin", "attack"]
        for look in (lambda line: line["line"]["dash"], lambda line: line["marker"]["symbol"]):
            assert len(set(map(look, lines))) == 3
        assert "solid" not in [line["line"]["dash"] for line in lines[1:]]
        assert lines[2]["line"]["width"] == max(line["line"]["width"] for line in lines)


def test_rates_are_in_order(tmp_path: Path) -> None:
    chart = over_rates(made(tmp_path, rates=[0.1, 0.05]))
    assert [line["x"] for line in chart["data"]] == [[0.05, 0.1]] * 2


def test_the_page_needs_no_other_file_and_takes_names_as_text(tmp_path: Path) -> None:
    page = save_page(tmp_path, arms={HOSTILE: {"loss": "ce"}})
    text = page.read_text()
    assert len(text.encode()) < MAX_BYTES
    assert "default-src 'none'" in text
    assert "<img" not in text
    assert text.count("<script") == 3
