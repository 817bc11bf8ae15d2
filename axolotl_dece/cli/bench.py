"""`axolotl dece bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axolotl_dece.cli.output import Reporting, answer_console, json_option, print_json, progress_console

if TYPE_CHECKING:
    from axolotl_dece.benchmark.measure import Result

_CPU_SHAPE: dict[str, Any] = {"tokens": 2048, "vocab": 32_000, "hidden": 512, "dtype": "float32"}
_GPU_SHAPE: dict[str, Any] = {"tokens": 8192, "vocab": 152_064, "hidden": 3584, "dtype": "bfloat16"}


@click.command(cls=Reporting)
@click.option("--device", default=None, help="cuda, cuda:1, cpu; the first GPU if there is one.")
@click.option("--tokens", type=click.IntRange(1), help="N: tokens of a micro-batch. Default 8192 on a GPU, 2048 else.")
@click.option("--vocab", type=click.IntRange(2), help="V: classes. Default 152064 (Qwen2.5) on a GPU, 32000 else.")
@click.option("--hidden", type=click.IntRange(1), help="H: width of the model. Default 3584 (7B) on a GPU, 512 else.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Default bfloat16 on a GPU.")
@click.option("--frozen-head", is_flag=True, help="The head is not trained, as under LoRA and QLoRA.")
@click.option("--masked", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Share of prompt tokens.")
@click.option("--alpha", type=click.FloatRange(0, 1), default=0.985, show_default=True)
@click.option("--label-smoothing", type=click.FloatRange(0, 1, max_open=True), default=0.05, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Timed steps of each.")
@json_option
def bench(device: str | None, alpha: float, label_smoothing: float, rounds: int, as_json: bool, **sizes: Any) -> None:
    """Measure what DeCE costs here: forward and backward of LM head and loss, beside the cross-entropies at hand."""
    import torch

    from axolotl_dece.benchmark.measure import Shape, describe, measure
    from axolotl_dece.loss.criterion import Mixture

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if where.type == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("torch sees no GPU here; leave it out, or say cpu", param_hint="--device")
    usual = _GPU_SHAPE if where.type == "cuda" else _CPU_SHAPE
    sizes = usual | {name: value for name, value in sizes.items() if value is not None}
    shape = Shape(**sizes | {"dtype": getattr(torch, sizes["dtype"])})
    with progress_console().status("") as status:
        results = measure(
            shape,
            where,
            Mixture(alpha, label_smoothing),
            rounds,
            lambda name: status.update(f"{name} at N={shape.tokens} V={shape.vocab} H={shape.hidden}"),
        )
    facts = describe(shape, where, results)
    if as_json:
        print_json(facts)
        return
    console = answer_console()
    console.print(_table(facts, results))
    for result in results:
        if result.missing:
            console.print(f"[yellow]not measured[/]  {result.name}: {result.missing}")


def _table(facts: dict[str, Any], results: list[Result]) -> Any:
    from rich.table import Table

    shape = facts["shape"]
    head = "frozen head" if shape["frozen_head"] else "trained head"
    table = Table(
        title=f"{facts['device']}, {facts['threads']} threads, torch {facts['versions']['torch']}, {facts['date']}: "
        f"N={shape['tokens']} V={shape['vocab']} H={shape['hidden']} {shape['dtype']}, {head}",
        caption="forward and backward; memory above the inputs, gradients included; ratios to the fused head",
    )
    for name, side in (("", "left"), ("median ms", "right"), ("ratio", "right"), ("MiB", "right"), ("ratio", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    measured = [r for r in results if r.median_seconds is not None and r.peak_bytes is not None]
    for result in measured:
        ours = measured[0]
        table.add_row(
            result.name,
            f"{1e3 * (result.median_seconds or 0):.1f}",
            f"{(result.median_seconds or 0) / (ours.median_seconds or 1):.2f}",
            f"{(result.peak_bytes or 0) / 2**20:.0f}",
            f"{(result.peak_bytes or 0) / (ours.peak_bytes or 1):.2f}",
        )
    return table
