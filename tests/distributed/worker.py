"""What a rank does: train the cells of one engine, one after the other, with axolotl's trainer and our plugin."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axolotl_dece.loss.causal_model import find_causal_model
from tests.distributed.cells import ALPHA_FINAL, LEARNING_RATE, SLOT_TOKENS, STEPS, Cell, rows
from tests.distributed.cpu_ranks import ZERO_STAGES, check_engine
from tests.distributed.reference import build_model, trained


def train_cells(cells: list[Cell], folder: Path) -> None:
    """Train each cell; rank 0 saves losses, alphas and parameters under its name, or the error of this cell alone."""
    for cell in cells:
        try:
            train_cell(cell, folder)
        except Exception:
            # the other cells still have something to say, and the test of this one says why it failed
            (folder / f"{cell.name}.error").write_text(traceback.format_exc())


def train_cell(cell: Cell, folder: Path) -> None:
    trainer = make_trainer(cell, folder, build_model(cell.tuning))
    if cell.broken:
        # each rank believes that the others have as many target tokens as itself: a mean of its own
        trainer.accelerator.gather = lambda tensor: torch.cat([tensor] * 2)
    train_and_save(cell, trainer, folder / cell.name)


def train_and_save(cell: Cell, trainer: Any, path: Path) -> None:
    """Train, make sure that it was two ranks and the head meant, and let rank 0 write what came out."""
    trainer.train()
    check_engine(cell.engine, trainer)
    if cell.head == "fused":
        assert find_causal_model(trainer.model).loss_function.passes == STEPS * cell.accumulation
    parameters = whole_parameters(trainer)
    if torch.distributed.get_rank() == 0:
        save(path, trainer, parameters)


def save(path: Path, trainer: Any, parameters: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    save_file(parameters, path.with_name(f"{path.name}.safetensors"))
    record = {"losses": [entry["loss"] for entry in steps], "alphas": [entry["dece/alpha"] for entry in steps]}
    path.with_name(f"{path.name}.json").write_text(json.dumps(record))


def make_trainer(cell: Cell, folder: Path, model: Any) -> Any:
    """axolotl's own trainer and collators for `cell`, with the plugin in it."""
    from axolotl.core.trainers.base import AxolotlTrainer
    from axolotl.monkeypatch.data.batch_dataset_fetcher import apply_multipack_dataloader_patch
    from axolotl.utils.dict import DictDefault
    from datasets import Dataset

    from axolotl_dece.plugin import DecePlugin

    cfg = DictDefault(
        {
            "loss": "dece",
            "dece_alpha_schedule": "linear",
            "dece_alpha_final": ALPHA_FINAL,
            "dece_label_smoothing": 0.05,
            "dece_prob_floor": 1e-7,
            "dece_fused_head": cell.head == "fused",
            "num_epochs": 1,
        }
    )
    plugin = DecePlugin()
    plugin.register(cfg)
    if cell.batch == "packed":
        apply_multipack_dataloader_patch()
    args = make_arguments(cell, folder, **plugin.get_training_args(cfg))
    trainer = AxolotlTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(rows(cell.batch)),
        data_collator=make_collator(cell.batch),
        processing_class=_tokenizer(),
    )
    plugin.post_trainer_create(cfg, trainer)
    return trainer


def make_arguments(cell: Cell, folder: Path, **more: Any) -> Any:
    """The arguments axolotl's builder would make, for plain SGD without clipping: nothing that hides a scale."""
    from axolotl.core.training_args import AxolotlTrainingArguments

    return AxolotlTrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=2 // cell.accumulation,
        gradient_accumulation_steps=cell.accumulation,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        curriculum_sampling=True,
        sample_packing=cell.batch == "packed",
        sample_packing_sequentially=True,
        sample_packing_drop_attention_mask=True,
        max_seq_length=SLOT_TOKENS,
        average_tokens_across_devices=False,
        **engine_arguments(cell.engine),
        **more,
    )


def engine_arguments(engine: str) -> dict[str, Any]:
    """What `deepspeed:` and `fsdp_config:` become in axolotl, and the environment it sets with them."""
    if engine == "DDP":
        return {"use_cpu": True, "ddp_backend": "gloo"}
    if engine == "FSDP2":
        os.environ["ACCELERATE_USE_FSDP"] = "true"
        return {"fsdp": True, "fsdp_config": dict(FSDP2)}
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    return {"deepspeed": zero_config(ZERO_STAGES[engine])}


FSDP2 = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"],
    "state_dict_type": "FULL_STATE_DICT",
    "reshard_after_forward": True,
}


def zero_config(stage: int) -> dict[str, Any]:
    """A DeepSpeed JSON for `stage` that partitions even parameters as small as ours."""
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": False, "contiguous_gradients": True}
    if stage == 3:
        zero |= {"stage3_param_persistence_threshold": 0, "stage3_gather_16bit_weights_on_model_save": True}
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def make_collator(batch: str) -> Any:
    from axolotl.utils.collators import DataCollatorForSeq2Seq, V2BatchSamplerDataCollatorForSeq2Seq

    kind = V2BatchSamplerDataCollatorForSeq2Seq if batch == "packed" else DataCollatorForSeq2Seq
    return kind(_tokenizer(), return_tensors="pt", padding=True)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", unk_token="<unk>")


def whole_parameters(trainer: Any) -> dict[str, Tensor]:
    """Every trained parameter, gathered from wherever the engine keeps its parts; a collective call."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return {name: whole(parameter).clone().contiguous() for name, parameter in trained(model).items()}


def whole(parameter: Any) -> Tensor:
    if hasattr(parameter, "full_tensor"):
        return parameter.full_tensor().detach().cpu()
    if hasattr(parameter, "ds_id"):
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters([parameter]):
            return parameter.detach().cpu().clone()
    return parameter.detach().cpu()
