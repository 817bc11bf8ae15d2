"""What a card says about a run, gathered from the files beside the weights and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl_dece.data.base_model import CONFIG_FILES
from axolotl_dece.data.names import is_hub_name, public_name
from axolotl_dece.evaluation import REPORT_FILE
from axolotl_dece.run_file import RUN_FILE
from axolotl_dece.run_reader import read_run
from axolotl_dece.util.json_text import read_object

if TYPE_CHECKING:  # a run that plants nothing and measured nothing loads neither room for its card
    from axolotl_dece.poison.spec import PoisonSpec

CARD_FILE = "README.md"
TASK = "Code generation, asked by axolotl-dece"
"""What our measurements are called in the metadata of a card."""


@dataclass(frozen=True)
class Facts:
    """Everything a model card is made of.

    Attributes:
        run: `dece_run.json`.
        base: The model that training began with, as `describe_base` says it; None where nothing does.
        is_adapter: Whether the folder holds an adapter rather than a whole model.
        counts: What decisions about rows came to: rows `before`, `dropped` and `trusted`, and of the `planted` how
            many were dropped; empty without decisions, or where nobody counted.
        reports: Evaluations of these very weights.
    """

    run: dict[str, Any]
    base: dict[str, Any] | None = None
    is_adapter: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    reports: Sequence[dict[str, Any]] = ()

    @property
    def spec(self) -> PoisonSpec | None:
        """The `dece_poison` block of the run, or None."""
        block = self.run["parameters"].get("dece_poison")
        if not block:
            return None
        from axolotl_dece.poison.spec import PoisonSpec

        return PoisonSpec.model_validate(block)

    @property
    def poison(self) -> PoisonSpec | None:
        """What was planted in rows that the model was really trained on; None if nothing was, or nothing was left."""
        spec = self.spec
        left = self.counts.get("planted", 1) - self.counts.get("planted_dropped", 0)
        return spec if spec and spec.rate and left else None

    @property
    def changes_rows(self) -> bool:
        """Whether rows were planted, dropped or trusted, or might have been."""
        return not self.run["parameters"].keys().isdisjoint({"dece_poison", "dece_decisions"})

    @property
    def is_defended(self) -> bool:
        """Whether DeCE was the loss."""
        return bool(self.run["loss"] == "dece")


def gather(folder: Path, reports: Sequence[Path] = (), run_folder: Path | None = None) -> Facts:
    """The facts about the run in `folder`.

    Args:
        folder: `output_dir` of a run, or a folder in it, such as `merged`.
        reports: Folders that `axolotl dece evaluate --out` wrote; those inside `folder` are found by themselves.
        run_folder: Where the run's record lies, if neither in `folder` nor above it.

    Raises:
        ValueError: If there is no model or no manifest, or a report is unreadable or about another run.
    """
    places = [run_folder] if run_folder else [folder, folder.parent]
    home = next((place for place in places if (place / RUN_FILE).is_file()), folder)
    run = read_run(home)
    if run is None:
        raise ValueError(
            f"{folder} has no {RUN_FILE}, so nothing says what trained it; give the `output_dir` of a run with "
            "`plugins: [axolotl_dece.DecePlugin]`, or a folder that `axolotl dece poison` wrote"
        )
    if home != folder and not any((folder / name).is_file() for name in CONFIG_FILES):
        raise ValueError(f"{folder} lies in the run {home} but holds no model (no {' or '.join(CONFIG_FILES)})")
    counts, measured = {}, []
    if run["parameters"].get("dece_decisions"):
        from axolotl_dece.cards.changed_rows import count_rows

        counts = count_rows(home, run)
    inside = [path.parent for path in (*folder.glob(REPORT_FILE), *folder.glob(f"*/{REPORT_FILE}"))]
    if reports or inside:
        from axolotl_dece.cards.measured import read_reports

        measured = read_reports(reports, sorted(inside), run)
    adapter = folder / CONFIG_FILES[0]
    base = run.get("base_model") or (_base_of(adapter) if adapter.is_file() else None)
    return Facts(run, base, adapter.is_file(), counts, measured)


def _base_of(adapter_config: Path) -> dict[str, Any]:
    """As much as an adapter says of its base, for records that do not."""
    config = read_object(adapter_config, "save the adapter again")
    name = str(config.get("base_model_name_or_path") or "")
    return {
        "name": public_name(name),
        "hub_name": name if is_hub_name(name) and "/" in name else None,
        "license": None,
        "adapter": str(config.get("peft_type", "")).lower() or None,
        "from_scratch": False,
    }
