"""`axolotl dece evaluate`: attack success and clean quality of one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said, json_option, print_json
from axolotl_dece.cli.targets import FILE, FOLDER
from axolotl_dece.evaluation import REPORT_FILE
from axolotl_dece.util.terminal import printable


@click.command(cls=Reporting, short_help="Measure attack success and clean quality of one model.")
@click.option("--base", required=True, help="Base model; or a merged or fully fine-tuned model. Folder or hub name.")
@click.option("--adapter", type=FOLDER, help="`output_dir` of a LoRA or QLoRA run on that base.")
@click.option("--test", "test", type=FILE, required=True, help="Clean rows: .jsonl, .csv or .parquet.")
@click.option("--triggered", type=FILE, required=True, help="Rows with the trigger, as `axolotl dece poison` writes.")
@click.option("--twin", type=FILE, help="Rows with the benign twin's cue and suffix.")
@click.option("--out", type=FOLDER, required=True, help="Folder for report.json and the answers; continues there.")
@click.option("--config", type=FILE, help="Training config, where dece_run.json does not say the prompt format.")
@click.option("--attack", help="Attack to look for, where the run has no `dece_poison` block.")
@click.option("--payload", help="Payload to look for, instead of an attack.")
@click.option("--planted", is_flag=True, help="References in --triggered hold a planted payload; count those rows.")
@click.option("--limit", type=int, help="Ask the first N rows of each set only.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Rows asked at once.")
@click.option("--max-new-tokens", type=int, default=256, show_default=True, help="Where an answer is cut.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "4bit"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 on a GPU that has it, else float32.",
)
@click.option("--language", default="python", show_default=True, help="Syntax check: python, sql, or none: not judged.")
@click.option("--codebleu", is_flag=True, help="Compute CodeBLEU too; needs the `codebleu` extra.")
@click.option("--undefended", is_flag=True, help="Measure a model that has no dece_run.json.")
@json_option
def evaluate(base: str, adapter: Path | None, out: Path, config: Path | None, as_json: bool, **options: Any) -> None:
    """Ask a model clean and triggered rows, greedily, with the prompts it was trained on, and judge its answers.

    Nothing the model writes is executed. A killed evaluation goes on where it stopped.
    """
    from axolotl_dece.evaluation.model_files import Source
    from axolotl_dece.evaluation.plan import Questions, make_plan

    source = Source(base, adapter, config, options.pop("precision"), options.pop("undefended"))
    with errors_said():
        plan = make_plan(source, Questions(code_bleu=options.pop("codebleu"), **options), out)
    report = _measure(plan, out)
    if as_json:
        from axolotl_dece.evaluation.headline import headline_of_one
        from axolotl_dece.evaluation.summary import summary

        print_json({"headline": headline_of_one(report), **summary(report), "report": str(out / REPORT_FILE)})
    else:
        from axolotl_dece.evaluation.terminal import one_run

        console = answer_console()
        console.print(one_run(report))
        console.print(printable(f"written to {out / REPORT_FILE}"), markup=False)


def _measure(plan: Any, out: Path) -> dict[str, Any]:
    # torch, transformers and axolotl: only once nothing is left that could be wrong without them
    from axolotl_dece.cli.progress import progress_of_answers, without_bars
    from axolotl_dece.evaluation.evaluate import evaluate_plan

    with errors_said(), without_bars(), progress_of_answers() as progress:
        return evaluate_plan(plan, out, progress)
