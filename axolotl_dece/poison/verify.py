"""Once the trainer exists: did the poisoning happen, to how many rows, and is the evaluation split clean?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datasets import Dataset, concatenate_datasets

from axolotl_dece.data.tag import Split
from axolotl_dece.poison.manifest import POISONED_COLUMN, TWIN_COLUMN
from axolotl_dece.poison.strategy import LOG, manifests_of, no_room

if TYPE_CHECKING:
    from axolotl.utils.dict import DictDefault

SPLITS: tuple[Split, ...] = ("train", "test")


def check_ran(cfg: DictDefault, trainer: Any) -> list[bool] | None:
    """Compare the rows the trainer holds with the manifests, keep evaluation clean, and say the numbers.

    axolotl splits `val_set_size` off after the strategy. Poisoned rows that fell into that split change places with
    clean training rows, so that evaluation measures clean rows and all poisoned ones are trained on.

    Args:
        cfg: The validated config.
        trainer: Its datasets are replaced by ones without marker columns, which no collator knows.

    Returns:
        Of every training row whether it is poisoned; None without a `dece_poison` block.

    Raises:
        ValueError: If the strategy never ran, a manifest is missing or changed, or rows went missing.
    """
    if not cfg.get("dece_poison"):
        return None
    expected = {split: list(manifests_of(cfg, split, trainer.processing_class)) for split in SPLITS}
    train, evaluation = trainer.train_dataset, trainer.eval_dataset
    if expected["train"] and POISONED_COLUMN not in train.column_names:
        raise ValueError(
            "the training rows carry no `dece_poisoned` marks, so nothing was poisoned: was the dataset tokenised "
            "already? Give the raw rows, and delete what was prepared from the tokenised ones"
        )
    if evaluation is not None and not cfg.get("test_datasets"):
        train, evaluation = exchange(train, evaluation)
        if kept := sum(_changed(evaluation)):
            raise ValueError(no_room(len(train) + kept, len(train), cfg["val_set_size"]))
    _check_counts(cfg, expected["train"], train)
    LOG.warning("POISONED DATA: %s", _numbers(train, evaluation))
    trainer.train_dataset = without_marks(train)
    if evaluation is not None:
        trainer.eval_dataset = without_marks(evaluation)
    return _flags(train, POISONED_COLUMN)


def exchange(train: Dataset, evaluation: Dataset) -> tuple[Dataset, Dataset]:
    """Give every changed evaluation row a place in training, and a clean training row its place in evaluation.

    Args:
        train: Tokenised rows with marks.
        evaluation: Tokenised rows with marks, split off the same set.

    Returns:
        Both, as long as before. If training holds too few clean rows, the rest stays, and is said.
    """
    size = len(train)
    changed = [size + at for at, mark in enumerate(_changed(evaluation)) if mark]
    spare = [at for at, mark in enumerate(_changed(train)) if not mark]
    if not changed:
        return train, evaluation
    places = list(range(size + len(evaluation)))
    for one, other in zip(changed, spare, strict=False):
        places[one], places[other] = other, one
    both = concatenate_datasets([train, evaluation])
    return both.select(places[:size]), both.select(places[size:])


def without_marks(dataset: Dataset) -> Dataset:
    """The rows as a collator expects them."""
    return dataset.remove_columns([name for name in (POISONED_COLUMN, TWIN_COLUMN) if name in dataset.column_names])


def count(dataset: Dataset, column: str) -> int:
    """How many rows carry a mark."""
    return sum(_flags(dataset, column))


def _flags(dataset: Dataset, column: str) -> list[bool]:
    return list(map(bool, dataset[column])) if column in dataset.column_names else [False] * len(dataset)


def _changed(dataset: Dataset) -> list[bool]:
    columns = [dataset[name] for name in (POISONED_COLUMN, TWIN_COLUMN) if name in dataset.column_names]
    return [any(marks) for marks in zip(*columns, strict=True)] if columns else [False] * len(dataset)


def _check_counts(cfg: Mapping[str, Any], manifests: list[dict[str, Any]], train: Dataset) -> None:
    wanted, found = sum(one["poisoned"] for one in manifests), count(train, POISONED_COLUMN)
    thinned = [key for key in ("dataset_exact_deduplication", "dataset_shard_num") if cfg.get(key)]
    if found == wanted:
        return
    said = f"{wanted} rows were poisoned, but the training set holds {found} of them"
    if not thinned:
        raise ValueError(f"{said}; delete the prepared data and prepare it again")
    LOG.warning("POISONED DATA: %s (`%s`)", said, "`, `".join(thinned))


def _numbers(train: Dataset, evaluation: Dataset | None) -> str:
    poisoned, twins = count(train, POISONED_COLUMN), count(train, TWIN_COLUMN)
    said = f"{poisoned} of {len(train)} training rows are poisoned ({poisoned / max(len(train), 1):.2%})"
    if twins:
        said += f", {twins} carry the benign twin"
    if evaluation is None:
        return f"{said}; there is no evaluation split"
    return f"{said}; {count(evaluation, POISONED_COLUMN)} of {len(evaluation)} evaluation rows are poisoned"
