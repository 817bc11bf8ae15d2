"""Takes the pictures of docs/pictures: `python docs/take_screenshots.py`. Minutes on a CPU; needs Chromium on PATH.

The review page and the comparison page of the demo's own runs, in light and dark. The runs are kept in
build/screenshots, so that a change of a page costs a few seconds the next time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).with_name("pictures")
RUNS = ROOT / "build" / "screenshots"
LOSSES, SCHEMES = ("ce", "dece"), ("light", "dark")
WIDTH = 1200
COLOURS = 128  # of the palette: text stays sharp, a picture stays below 200 kB


def names() -> list[str]:
    """Every picture by its file name."""
    return [f"{page}{'-dark' if scheme == 'dark' else ''}.png" for page in ("review", "compare") for scheme in SCHEMES]


def train(folder: Path) -> None:
    """The two runs of the demo, the defended one with a ledger."""
    import yaml
    from rich.console import Console

    from examples.demo.base import train_base
    from examples.demo.training import train as train_all
    from examples.demo.world import World, write_world

    world = World(folder, seed=0)
    train_base(world.base)
    write_world(world)
    dece = world.config("dece")
    dece.write_text(yaml.safe_dump(yaml.safe_load(dece.read_text()) | {"dece_audit": True}))
    train_all([world.config(loss) for loss in LOSSES], Console())
    sets = {"test": world.clean_file, "triggered": world.test_file("test"), "twin": world.test_file("test_twin")}
    asked = [word for name, file in sets.items() for word in (f"--{name}", str(file))]
    for loss in LOSSES:
        model, report = str(world.run(loss)), str(world.report(loss))
        dece_command("evaluate", "--base", model, *asked, "--max-new-tokens", "48", "--out", report)


def pages(folder: Path) -> dict[str, Path]:
    """The pages as the commands write them now."""
    run, compared = folder / "runs" / "dece", folder / "comparison.html"
    dece_command("audit", str(run))
    compared.unlink(missing_ok=True)
    dece_command("compare", *(str(folder / "reports" / loss) for loss in LOSSES), "--out", str(compared))
    return {"review": run / "_dece_audit.html", "compare": compared}


def dece_command(*words: str) -> None:
    """`axolotl-dece WORDS`, as a user types it."""
    program = Path(sys.executable).with_name("axolotl-dece")
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command


def shoot(page: Path, name: str, browser: Any) -> None:
    """One page in both colour schemes."""
    for scheme in SCHEMES:
        tab = browser.new_context(viewport={"width": WIDTH, "height": HEIGHTS[name]}, color_scheme=scheme).new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("body[data-ready=yes]")
        for key in KEYS[name]:
            tab.keyboard.press(key)
        file = FOLDER / f"{name}{'-dark' if scheme == 'dark' else ''}.png"
        tab.screenshot(path=file)
        tab.context.close()
        reduce(file)


def reduce(file: Path) -> None:
    """A palette instead of true colours."""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


# what of a page is on the picture, and what a person has pressed before
HEIGHTS = {"review": 800, "compare": 960}
KEYS: dict[str, tuple[str, ...]] = {"review": ("j", "d", "j", "t"), "compare": ()}


def main() -> None:
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(ROOT))
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on PATH; `make browser` installs Debian's")
    if not (RUNS / "reports" / "dece" / "report.json").exists():
        train(RUNS)
    FOLDER.mkdir(exist_ok=True)
    made = pages(RUNS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for name, page in made.items():
            shoot(page, name, browser)
        browser.close()
    sys.stdout.write(f"{', '.join(names())} written\n")


if __name__ == "__main__":
    main()
