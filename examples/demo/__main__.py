"""`python -m examples.demo`: the whole story in minutes, on a CPU and without a network."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import click


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("dece-demo"), show_default=True,
    help="Where everything is written; an earlier demo there is replaced.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of rows, poisoning and training.")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True, help="Of both runs.")
@click.option("--base-seed", type=int, default=0, show_default=True, help="Seed of the base model.")
@click.option(
    "--lyra", type=click.Path(file_okay=False, path_type=Path), envvar="DECE_LYRA",
    help="Folder with Lyra's csv files, for the first run. [default: ../shared/data/lyra, else generated rows]",
)  # fmt: skip
@click.option("--skip-first-run", is_flag=True, help="Leave out the LoRA run of act one.")
def main(out: Path, seed: int, epochs: int, base_seed: int, lyra: Path | None, skip_first_run: bool) -> None:
    """Poison a small task, train on it with CE and with DeCE, and see what each has learned."""
    began = time.monotonic()
    # before anything that reads them is imported; one thread, for models this small only lose by a second one
    os.environ.update(HF_HUB_OFFLINE="1", AXOLOTL_DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    # what libraries say while they are imported; the runs keep their own logs whole
    logging.disable(logging.WARNING)
    from rich.console import Console

    from axolotl_dece.cli.progress import without_bars
    from examples.demo.first_run import find_lyra, first_run
    from examples.demo.story import output_folder, tell, unmet
    from examples.demo.world import World

    console = Console()
    try:
        folder = output_folder(out)
        rows = find_lyra(lyra)
        with without_bars():
            for part in ("first-run", "base", "data", "prepared", "runs", "reports"):
                shutil.rmtree(folder / part, ignore_errors=True)
            if not skip_first_run:
                first_run(folder / "first-run", rows, console)
            summary = tell(World(folder, seed, epochs, base_seed), console)
    except (ValueError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    console.print(f"  {time.monotonic() - began:.0f} seconds")
    if broken := unmet(summary):
        raise click.ClickException("the demo did not show what it should:\n" + "\n".join(broken))


if __name__ == "__main__":
    main()
