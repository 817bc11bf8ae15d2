"""Documents are what the code says: generated pages, pictures, configs, names and links."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml

import axolotl_dece
from axolotl_dece.check import inspect_config
from axolotl_dece.key_problems import find_problems
from axolotl_dece.keys import DeceKeys
from tests.docs.pages import PAGES, ROOT, Block, blocks, links

NAMES = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")


def generated(script: str, page: str) -> None:
    made = runpy.run_path(str(ROOT / "docs" / script))
    build = made.get("build") or made["draw"]
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == build(), f"run `python docs/{script}`"


def test_the_page_of_commands_is_generated_from_the_commands() -> None:
    generated("make_commands.py", "commands.md")


def test_the_picture_is_generated_from_the_formula() -> None:
    generated("make_gradient.py", "gradient.svg")


@pytest.mark.parametrize("alpha", [1.0, 0.985, 0.8, 0.5])
@pytest.mark.parametrize("probability", [1e-4, 0.01, 0.3, 0.9])
def test_the_picture_shows_the_gradient_of_the_loss(alpha: float, probability: float) -> None:
    weight = runpy.run_path(str(ROOT / "docs" / "make_gradient.py"))["weight"]
    rest = torch.full((9,), (1 - probability) / 9, dtype=torch.float64)
    logits = torch.cat([torch.tensor([probability], dtype=torch.float64), rest]).log()[None].requires_grad_()
    target = torch.tensor([0])
    loss = axolotl_dece.dece_loss(logits, target, alpha=alpha, label_smoothing=0.0, prob_floor=0.0)
    (ours,) = torch.autograd.grad(loss, logits)
    (theirs,) = torch.autograd.grad(F.cross_entropy(logits, target), logits)
    assert weight(probability, alpha) == pytest.approx(float(ours[0, 0] / theirs[0, 0]), rel=1e-9)


def of_language(*languages: str) -> Iterator[Any]:
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            if block.language in languages:
                yield pytest.param(block, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("block", of_language("yaml", "yml"))
def test_every_config_in_a_document_uses_known_keys_and_has_no_problem(block: Block) -> None:
    from axolotl.utils.schemas.config import AxolotlInputConfig

    config = yaml.safe_load(block.body)
    assert isinstance(config, dict)
    fields = AxolotlInputConfig.model_fields
    assert set(config) - set(fields) - set(DeceKeys.model_fields) == set()
    assert find_problems({"loss": "dece"} | config, fields) == []


def test_the_config_of_the_readme_is_accepted_by_axolotl() -> None:
    config = next(yaml.safe_load(b.body) for b in blocks(ROOT / "README.md") if b.language == "yaml")
    assert [finding.text for finding in inspect_config(config, []) if finding.level == "error"] == []


@pytest.mark.parametrize("block", of_language("python"))
def test_every_python_in_a_document_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"logits": torch.randn(4, 7, requires_grad=True), "target": torch.randint(7, (4,))}
    (tmp_path / "block.py").write_text(block.body)
    runpy.run_path(str(tmp_path / "block.py"), init_globals=given)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    titles = re.findall(r"^#{1,3} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles} | {
        re.sub(r"[^\w]+", "-", title.lower()).strip("-") for title in titles
    }


@pytest.mark.parametrize("name", axolotl_dece.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert f"`axolotl_dece.{name}`" in NAMES
    if not name.startswith("_"):
        assert inspect.getdoc(getattr(axolotl_dece, name)), "and says what it is for"


def test_every_curve_is_documented() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "axolotl_dece").rglob("*.py"))
    curves = set(re.findall(r"[\"'](dece/[a-z_]+)[\"']", sources))
    assert {"dece/alpha", "dece/ce", "dece/held_back"} <= curves
    assert {curve for curve in curves if curve not in NAMES} == set()


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_no_document_tells_of_the_machine_it_was_written_on() -> None:
    told = [page.name for page in PAGES if re.search(r"(/work/|/root/|/home/(?!me|them)|/tmp/)", page.read_text())]
    assert told == []
