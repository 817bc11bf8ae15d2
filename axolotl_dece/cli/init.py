"""`axolotl dece init`: a first config for one's own model, data and memory."""

from __future__ import annotations

from pathlib import Path

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said
from axolotl_dece.cli.targets import FILE
from axolotl_dece.starter.model import ADAPTERS


@click.command(cls=Reporting, short_help="Write a first config for your model, data and memory.")
@click.option("--base-model", required=True, help="Model to fine-tune: a folder, or a name on the hub.")
@click.option("--data", type=FILE, required=True, help="Training rows: .jsonl, .csv or .parquet.")
@click.option("--memory", type=click.FloatRange(0), default=24, show_default=True, help="GiB of the GPU; 0: no GPU.")
@click.option("--adapter", type=click.Choice(ADAPTERS), help="By the size of the model where left out; full: none.")
@click.option("--source-field", help="Column of the request, where its name does not say it.")
@click.option("--target-field", help="Column of the answer.")
@click.option("--out", type=FILE, default=Path("dece.yaml"), show_default=True, help="The config to write.")
def init(
    base_model: str,
    data: Path,
    memory: float,
    adapter: str | None,
    source_field: str | None,
    target_field: str | None,
    out: Path,
) -> None:
    """Write a commented config that trains BASE_MODEL on your rows with DeCE and the audit.

    \b
    axolotl dece init --base-model Qwen/Qwen2.5-Coder-7B --data train.jsonl --adapter qlora
    """
    from axolotl_dece.data.names import is_hub_name
    from axolotl_dece.starter.model import choose_adapter, read_model
    from axolotl_dece.starter.rows import find_layout
    from axolotl_dece.starter.write import starter_config
    from axolotl_dece.util.atomic import write_text_atomically

    if bool(source_field) != bool(target_field):
        raise click.UsageError("--source-field and --target-field belong together; give both")
    if adapter == "qlora" and memory == 0:
        raise click.UsageError("--adapter qlora needs a GPU, and --memory 0 says there is none; take lora")
    if out.exists():
        raise click.UsageError(f"{out} is already there; give another --out")
    if not Path(base_model).is_dir() and not is_hub_name(base_model):
        raise click.UsageError(f"--base-model {base_model} is no folder here, and no name on the hub")
    with errors_said():
        pair = (source_field, target_field) if source_field and target_field else None
        rows = find_layout(data, pair)
        model = read_model(base_model)
        text = starter_config(base_model, model, rows, adapter or choose_adapter(model, memory), memory, out)
    write_text_atomically(out, text)
    answer_console().print(
        f"{out} is written: {rows.rows:,} rows, read as {rows.kind}. Next: axolotl dece check {out}",
        soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip
