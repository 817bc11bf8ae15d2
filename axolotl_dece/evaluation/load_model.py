"""The model under test, loaded so that it is the one meant: everything that would make a number a lie is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

from axolotl_dece.data.names import public_name
from axolotl_dece.evaluation.model_files import (
    ADAPTER_WEIGHTS,
    Source,
    find_recipe,
    find_run,
    missing_files,
)
from axolotl_dece.run_file import RUN_FILE, tokenizer_digest


@dataclass
class Subject:
    """A model ready to be asked.

    Attributes:
        run: dece_run.json, or None for a model that was not trained with this package.
        recipe: How a row becomes a prompt.
        warnings: What the reader of the numbers has to know.
    """

    model: Any
    tokenizer: Any
    recipe: dict[str, Any]
    run: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)


def load_subject(source: Source) -> Subject:
    """Load model and tokenizer.

    Raises:
        ValueError: If files are missing, the adapter does not fit or does nothing, the tokenizer is not the run's,
            or there is no dece_run.json and the model is not said to be undefended.
    """
    if problems := list(missing_files(source)):
        raise ValueError("; ".join(problems))
    run = find_run(source)
    recipe = find_recipe(source, run)
    tokenizer = _load_tokenizer(source)
    _check_tokenizer(source, tokenizer, run)
    model = _load_model(source)
    if source.adapter:
        model = _add_adapter(model, source.adapter)
    _check_vocabulary(source, model, tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # greedy, whatever sampling the base model was published with
    model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
    return Subject(model.eval(), tokenizer, recipe, run, _warnings(source, run))


def _load_tokenizer(source: Source) -> Any:
    trained_one = source.adapter and (source.adapter / "tokenizer_config.json").is_file()
    folder = source.trained if trained_one else source.base
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"the tokenizer of {folder} cannot be loaded: {error}") from error


def _check_tokenizer(source: Source, tokenizer: Any, run: dict[str, Any] | None) -> None:
    if run and tokenizer_digest(tokenizer) != run["tokenizer_sha256"]:
        raise ValueError(
            f"the tokenizer found for {source.trained} is not the one of its run (vocabulary, special tokens or chat "
            f"template differ from {RUN_FILE}); put the tokenizer files that training wrote back beside the weights"
        )
    if source.adapter and Path(source.base, "tokenizer_config.json").is_file():
        base = AutoTokenizer.from_pretrained(source.base, trust_remote_code=False).get_vocab()
        mine = tokenizer.get_vocab()
        moved = sum(mine.get(token) != number for token, number in base.items())
        if moved:
            raise ValueError(
                f"{moved} of {len(base)} tokens of `--base {source.base}` have another number in the tokenizer of "
                f"{source.adapter}: the adapter was trained on another base model"
            )


def _load_model(source: Source) -> Any:
    on_gpu = torch.cuda.is_available()
    halves = on_gpu and torch.cuda.is_bf16_supported()
    names = {"auto": torch.bfloat16 if halves else torch.float32, "float32": torch.float32}
    dtype = names.get(source.precision, torch.bfloat16)
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False, "use_safetensors": True}
    if source.precision == "4bit":
        compute = torch.bfloat16 if halves else torch.float32
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
        )
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(source.base, output_loading_info=True, **options)
    except OSError as error:
        raise ValueError(f"`--base {source.base}` cannot be loaded: {error}") from error
    # transformers only warns, and fills in random weights
    if lacking := {*loaded["missing_keys"], *loaded["mismatched_keys"]}:
        raise ValueError(
            f"`--base {source.base}` lacks {len(lacking)} weights its config asks for (first: "
            f"{min(map(str, lacking))}); they would be random. Is the download or the save complete?"
        )
    return model.to("cuda") if on_gpu and source.precision != "4bit" else model


def _add_adapter(model: Any, adapter: Path) -> Any:
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as file:
        saved = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    config = PeftConfig.from_pretrained(str(adapter))
    remedy = f"is `--base` the model that {adapter} was trained on ({config.base_model_name_or_path})?"
    try:
        with_adapter = PeftModel.from_pretrained(model, str(adapter))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the adapter does not fit the base model; {remedy}\n{error}") from error
    expected = set(get_peft_model_state_dict(with_adapter, save_embedding_layers=False))
    # PEFT only warns here, and the answers would be the base model's: an attack success of 0 %, and a lie
    missing, unexpected = expected - set(saved), set(saved) - expected - _embedding_keys(saved)
    if missing or unexpected:
        raise ValueError(
            f"{len(missing)} weights the adapter should have are missing and {len(unexpected)} do not belong to this "
            f"base model (first: {sorted(missing | unexpected)[0]}); {remedy}"
        )
    return with_adapter


def _embedding_keys(names: Any) -> set[str]:
    """Embeddings that PEFT saves whole beside the adapter when tokens were added."""
    return {name for name in names if name.endswith(("embed_tokens.weight", "lm_head.weight"))}


def _check_vocabulary(source: Source, model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise ValueError(
            f"the tokenizer counts to {highest}, but {source.base} has embeddings for {rows} tokens: "
            "tokenizer and base model do not belong together"
        )


def _warnings(source: Source, run: dict[str, Any] | None) -> list[str]:
    """What a report says first; others read it, so of a folder no more than its name."""
    found = []
    if run and run.get("status") != "finished":
        found.append(f"{public_name(source.trained)} is a run that did not finish (status {run.get('status')!r})")
    if run is None:
        found.append("no dece_run.json: nothing proves which loss trained this model")
    if source.adapter:
        trained_on = PeftConfig.from_pretrained(str(source.adapter)).base_model_name_or_path
        if trained_on and Path(trained_on).name != Path(source.base).name:
            names = f"{public_name(trained_on)}, and is measured on {public_name(source.base)}"
            found.append(f"the adapter was trained on {names}")
    return found
