"""`axolotl dece card OUT`: the card of a model or of a poisoned dataset, by hand."""

from __future__ import annotations

from pathlib import Path

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said
from axolotl_dece.cli.targets import FOUND_FOLDER


@click.command(cls=Reporting, short_help="Write, and push, the card of a model or a poisoned dataset.")
@click.argument("out", type=FOUND_FOLDER)
@click.option(
    "--report", "reports", multiple=True, type=click.Path(path_type=Path),
    help="Folder of an evaluation of this model; those inside OUT are found by themselves.",
)  # fmt: skip
@click.option("--push", is_flag=True, help="Push OUT with its card to the hub; the repository is private if new.")
@click.option("--repo", help="Where to push, org/name; `hub_model_id` of the config when left out.")
@click.option("--public", is_flag=True, help="Make a new repository public.")
@click.option("--allow-poisoned", is_flag=True, help="Push although it is, or was trained on, poisoned data.")
def card(
    out: Path, reports: tuple[Path, ...], push: bool, repo: str | None, public: bool, allow_poisoned: bool
) -> None:
    """Write README.md in OUT: an `output_dir`, or a folder that `axolotl dece poison` wrote.

    Written again, for example after an evaluation, it replaces its own part and keeps everything else.
    """
    from axolotl_dece.cards.dataset_card import is_poisoned_set, write_dataset_card
    from axolotl_dece.cards.model_card import CARD_FILE, write_model_card
    from axolotl_dece.cards.push import push_dataset, push_model
    from axolotl_dece.older_weights import refuse_older_weights

    console = answer_console()
    with errors_said():
        if is_poisoned_set(out):
            write_dataset_card(out)
            pushed = push_dataset(out, repo, public, allow_poisoned) if push else None
        else:
            refuse_older_weights(out)
            facts = write_model_card(out, reports)
            pushed = push_model(out, facts, repo, public, allow_poisoned) if push else None
    console.print(f"the card is {out / CARD_FILE}", soft_wrap=True, markup=False)
    if pushed:
        left = sorted({path.name for path in out.iterdir()} - set(pushed.names))
        console.print(f"pushed to {pushed.url}: {', '.join(pushed.names)}", soft_wrap=True, markup=False)
        console.print(f"not pushed: {', '.join(left) or 'nothing'}", soft_wrap=True, markup=False)
