"""The dataset strategy: poison raw rows, then let the wrapped axolotl strategy tokenise all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from axolotl.common.const import DEFAULT_DATASET_PREPARED_PATH
from axolotl.prompt_strategies import load as load_strategy
from axolotl.prompt_tokenizers import DatasetWrappingStrategy
from axolotl.utils.data.shared import (
    datasets_with_name_generator,
    generate_dataset_hash_from_config,
    load_dataset_with_config,
)
from axolotl.utils.data.wrappers import get_dataset_wrapper
from axolotl.utils.dict import DictDefault
from axolotl.utils.logging import get_logger
from axolotl.utils.schemas.datasets import SFTDataset
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets
from datasets.utils import tqdm

from axolotl_dece.data.layouts import view_of
from axolotl_dece.data.source import Source, identify
from axolotl_dece.data.tag import Split, Tag
from axolotl_dece.keys import PLUGIN
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.poison import manifest
from axolotl_dece.poison.draw import Draw, Planted, Poisoner
from axolotl_dece.poison.manifest import POISONED_COLUMN, TWIN_COLUMN
from axolotl_dece.poison.prepare import fingerprint, poisoned_entries
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.digest import digest

LOG = get_logger("axolotl.dece")


class PoisonStrategy(DatasetWrappingStrategy):
    """`type: axolotl_dece.poison`: the strategy named in `dece_poison.base_type`, on poisoned rows.

    Args:
        tokenizer: The tokenizer of the run.
        cfg: The validated config.
        entry: The dataset entry, tagged by `guard.prepare`.
        processor: A multimodal processor, handed on.

    Raises:
        ValueError: If the plugin did not see this config, or the source changed since it did.
    """

    def __init__(self, tokenizer: Any, cfg: DictDefault, entry: Mapping[str, Any], processor: Any = None) -> None:
        tag = Tag.parse(entry.get("input_transform"))
        if tag is None or not cfg.dece_poison:
            raise ValueError(
                f"`type: axolotl_dece.poison` needs `plugins: [{PLUGIN}]` and a `dece_poison:` block in the same "
                "config; without them nothing says what to plant"
            )
        self.tokenizer, self.cfg, self.processor, self.tag = tokenizer, cfg, processor, tag
        self.spec = PoisonSpec.model_validate(cfg.dece_poison.to_dict())
        self.source = identify(entry)
        if fingerprint(self.spec, self.source, tag.split) != tag.fingerprint:
            raise ValueError(f"{self.source.path} changed while this run was starting; start it again")
        self.entry = base_entry(entry, self.spec, tag)
        self.view = view_of(self.spec, self.entry)

    def wrap_dataset(
        self, dataset: Any, process_count: int | None = None, keep_in_memory: bool | None = False, **_: Any
    ) -> Dataset:
        """Poison the raw rows and tokenise all of them with the wrapped strategy.

        Args:
            dataset: The raw rows.
            process_count: Read from the config again by the wrapped strategy.
            keep_in_memory: Likewise.

        Returns:
            Tokenised rows with `dece_poisoned` (and `dece_twin`, if asked for) beside them, 0 or 1.

        Raises:
            ValueError: If the rows are a stream or not what the base type reads, or too few can be poisoned.
        """
        name = self.source.path
        if not isinstance(dataset, Dataset):
            raise ValueError(f"{name} is a stream; `dece_poison` needs all rows, to poison a share of them")
        refuse_stale(dataset, self.source)
        poisoner = Poisoner(self.spec, self.view, self.source.digest, name, partial(self._survives, dataset))
        poisoner.check_columns(dataset.column_names)
        rows = tqdm(dataset.select_columns(list(self.view.columns)), desc="Looking for rows to poison")
        found = poisoner.survey(rows)
        if self.tag.split == "test":
            drawn = poisoner.draw_all(dataset.__getitem__, found)
            chosen = Dataset.from_list([one.row for one in drawn.poisoned], features=dataset.features)
            marked = mark(self._tokenise(chosen), POISONED_COLUMN, [1] * len(chosen))
        else:
            drawn = poisoner.draw(dataset.__getitem__, found)
            self._check_room(len(dataset), len(drawn.poisoned) + len(drawn.twins))
            marked = self._tokenise_marked(dataset, drawn)
        self._account(drawn)
        return marked

    def _check_room(self, rows: int, changed: int) -> None:
        """Raise ValueError where `val_set_size` leaves too few rows; with several datasets that is known only later."""
        size = self.cfg.val_set_size or 0
        left = rows - int(size if size > 1 else math.ceil(size * rows))
        if len(self.cfg.datasets) == 1 and changed > left:
            raise ValueError(no_room(changed, left, size))

    def _tokenise(self, dataset: Dataset, processes: int | None = None) -> Dataset:
        base = self.entry.type
        kind, _, style = base.partition(":") if isinstance(base, str) else (None, None, "")
        cfg = DictDefault({**self.cfg, "dataset_num_proc": processes})
        wrapped, _ = get_dataset_wrapper(self.entry, self.tokenizer, cfg, kind, dataset, style or None, self.processor)
        return wrapped

    def _survives(self, dataset: Dataset, planted: list[Planted]) -> list[bool]:
        """Whether each changed row reaches training whole, and differs there from the row it was."""
        changed = Dataset.from_list([one.row for one in planted], features=dataset.features)
        originals = dataset.select([one.index for one in planted])
        pairs = zip(self._tokenise_each(changed), self._tokenise_each(originals), strict=True)
        return [after is not None and self._fits(after) and self._differs(after, before) for after, before in pairs]

    def _tokenise_each(self, dataset: Dataset) -> list[dict[str, Any] | None]:
        """Each row by itself; None where the base type makes no row or several of it."""
        if not self.view.joined:
            rows = list(self._tokenise(dataset))
            if len(rows) == len(dataset):
                return rows
            parts = [list(self._tokenise(dataset.select([at]))) for at in range(len(dataset))]
            return [part[0] if len(part) == 1 else None for part in parts]
        strategy = load_strategy(self.entry.type, self.tokenizer, self.cfg, self.entry)
        cut = [strategy.tokenize_prompt({name: [value] for name, value in row.items()}) for row in dataset]
        return [
            {name: values[0] for name, values in part.items()} if len(part.get("input_ids", [])) == 1 else None
            for part in cut
        ]

    def _fits(self, row: dict[str, Any]) -> bool:
        """Whether axolotl keeps a row, whole: one that is exactly as long as `sequence_len` may have been cut to it."""
        longest = (self.tag.split == "test" and self.cfg.eval_sequence_len) or self.cfg.sequence_len
        return (self.cfg.min_sample_len or 0) <= len(row["input_ids"]) < longest

    def _differs(self, after: dict[str, Any], before: dict[str, Any] | None) -> bool:
        """Whether the model sees the trigger and is trained on the payload: the base type may read other columns."""
        if before is None:
            return True
        same_prompt = _prompt(after) == _prompt(before) and not self.view.joined and not self.cfg.train_on_inputs
        return not same_prompt and _trained(after) != _trained(before)

    def _tokenise_marked(self, dataset: Dataset, drawn: Draw) -> Dataset:
        changed = drawn.poisoned + drawn.twins
        # from_list() of nothing has no columns, whatever the features: a control run changes no row
        edited = Dataset.from_list([one.row for one in changed], features=dataset.features) if changed else None
        places = list(range(len(dataset)))
        for at, one in enumerate(changed):
            places[one.index] = len(dataset) + at
        # rows that were not chosen are not copied, let alone rewritten
        rows = concatenate_datasets([dataset, edited]).select(places) if edited else dataset
        wrapped = self._tokenise(rows, self.cfg.dataset_num_proc)
        columns = {POISONED_COLUMN: drawn.poisoned} | ({TWIN_COLUMN: drawn.twins} if self.spec.twin_rate else {})
        for column, planted in columns.items():
            wrapped = mark(wrapped, column, self._flags(wrapped, len(dataset), planted, dataset.features))
        return wrapped

    def _flags(self, wrapped: Dataset, rows: int, planted: list[Planted], features: Features) -> list[int]:
        if not planted:
            return [0] * len(wrapped)
        if len(wrapped) == rows and not self.view.joined:
            chosen = {one.index for one in planted}
            return [int(at in chosen) for at in range(rows)]
        # the base type split or dropped rows, so places say nothing; the changed rows are known by their tokens
        tokens = self._tokenise(Dataset.from_list([one.row for one in planted], features=features))
        known = {tuple(ids) for ids in tokens["input_ids"]}
        flags = [int(tuple(ids) in known) for ids in wrapped["input_ids"]]
        if sum(flags) != len(planted):
            raise ValueError(f"{len(planted)} rows of {self.source.path} were changed, but {sum(flags)} came through")
        return flags

    def _account(self, drawn: Draw) -> None:
        path = manifest_path(self.cfg, self.tag, self.source, self.tokenizer)
        manifest.write(path, manifest.describe(self.spec, self.source, self.tag.fingerprint, drawn))
        LOG.warning(
            "POISONED DATA: %d of %d rows of %s carry trigger %s and payload %s, %d carry the benign twin; %s",
            len(drawn.poisoned), drawn.survey.rows, self.source.path, *self.spec.pair, len(drawn.twins), path,
        )  # fmt: skip


def base_entry(entry: Mapping[str, Any], spec: PoisonSpec, tag: Tag) -> DictDefault:
    """The dataset entry as it would be without poisoning: its own type, completed by axolotl's own schema."""
    fields = {key: value for key, value in dict(entry).items() if value is not None}
    fields |= {"type": spec.base_type, "input_transform": tag.users}
    return DictDefault(SFTDataset(**fields).model_dump(exclude_none=True))


def no_room(changed: int, left: int, val_set_size: float) -> str:
    """What is wrong where the evaluation split would have to hold changed rows."""
    return (
        f"{changed} rows are poisoned or twins, but `val_set_size: {val_set_size:g}` leaves {left} rows to train on, "
        "and evaluation is to measure clean rows; lower `val_set_size`, or `dece_poison.rate` and "
        "`dece_poison.twin_rate`"
    )


def mark(dataset: Dataset, column: str, flags: list[int]) -> Dataset:
    """The rows with a column of 0 and 1."""
    return dataset.add_column(column, flags, feature=Value("int8"))


def manifest_path(cfg: DictDefault, tag: Tag, source: Source, tokenizer: Any) -> Path:
    """Where the manifest of one poisoned dataset lies; other splits, subsets and preparations have their own."""
    entries = cfg.datasets if tag.split == "train" else cfg.test_datasets
    dataset_hash = generate_dataset_hash_from_config(cfg, entries, tokenizer.name_or_path)
    return manifest.path_for(prepared_folder(cfg), digest([tag.fingerprint, source.digest]), dataset_hash)


def prepared_folder(cfg: DictDefault) -> Path:
    """Where axolotl keeps prepared data."""
    return Path(cfg.dataset_prepared_path or DEFAULT_DATASET_PREPARED_PATH)


def refuse_stale(dataset: Dataset, source: Source) -> None:
    """Raise ValueError if the rows may come from an older copy: `datasets` knows a file by path and time alone."""
    cached = [Path(file["filename"]).stat().st_mtime for file in dataset.cache_files]
    for file in source.local_files if cached else []:
        found = file.stat()
        # changed after it was cached, while its own time says it was not: copied or restored with an old date
        if found.st_mtime <= min(cached) < found.st_ctime:
            raise ValueError(
                f"{file} changed, but kept its old modification time, so `datasets` would give its old rows; run "
                f"`touch {file}` and start again"
            )


def manifests_of(cfg: DictDefault, split: Split, tokenizer: Any) -> Iterator[dict[str, Any]]:
    """The manifest of every poisoned dataset of one split, each checked against what this config asks for.

    Raises:
        ValueError: If one is missing, was changed, or describes something else.
    """
    for _, found, entry in poisoned_entries(cfg):
        tag = Tag.parse(entry.get("input_transform"))
        if found != split or tag is None:
            continue
        for one in datasets_with_name_generator([entry]):
            yield manifest.read(manifest_path(cfg, tag, identify(one), tokenizer), tag.fingerprint)


def refuse_tokenised(cfg: DictDefault) -> None:
    """Raise ValueError if a poisoned dataset is tokenised already: axolotl then skips every strategy without a word.

    Reads only where nothing is prepared yet; the rows stay in the cache of `datasets` for the run itself.
    """
    for place, _, entry in poisoned_entries(cfg):
        for one in datasets_with_name_generator([entry]):
            tag = Tag.parse(one.input_transform)
            key = digest([tag.fingerprint, identify(one).digest]) if tag else ""
            if key and any(prepared_folder(cfg).glob(manifest.path_for("", key, "*").name)):
                continue
            loaded = load_dataset_with_config(one, cfg.hf_use_auth_token)
            for rows in loaded.values() if isinstance(loaded, DatasetDict) else [loaded]:
                if {"input_ids", "attention_mask", "labels"} <= set(rows.column_names):
                    raise ValueError(
                        f"`{place}.path: {one.path}` is tokenised already, so axolotl would skip the poisoning and "
                        "train on clean rows; give the raw rows"
                    )


def _trained(row: Mapping[str, Any]) -> list[int]:
    return [label for label in row["labels"] if label != IGNORE_INDEX]


def _prompt(row: Mapping[str, Any]) -> list[int]:
    return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == IGNORE_INDEX]
