"""What differs between versions of axolotl: which were tested, and one entry for each thing that some do otherwise.

An entry says in which versions something holds, and why it matters here. To drop a version, raise the lower end of
`TESTED`: a test names the entries that no version is left for, and whatever asks them is to be deleted with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

TESTED = ">=0.19,<0.22"


@dataclass(frozen=True)
class Difference:
    """Something that holds in some versions of axolotl only."""

    versions: str
    reason: str

    @property
    def is_here(self) -> bool:
        """Whether it holds in the version that is installed."""
        return SpecifierSet(self.versions).contains(installed_axolotl(), prereleases=True)


COLON_FORM = Difference(">=0.21", "`plugins` also takes `module:Class`; earlier versions split at the last dot alone")
MISSING_PLUGIN_IS_SKIPPED = Difference(
    "<0.21", "a plugin that cannot be imported is printed and left out; later versions stop"
)
MEAN_PER_MICRO_BATCH = Difference(
    "<0.20",
    "axolotl's own cross-entropy averages each micro-batch by itself, so that its gradient depends on how a batch is "
    "split; later versions divide by the target tokens of the step",
)
FSDP2_LORA_STARTS_OVER = Difference(
    "<0.20", "a LoRA run resumed under FSDP2 goes on from a fresh adapter without a word, with and without this plugin"
)
MERGE_IS_UNANNOUNCED = Difference(
    "<0.21", "`axolotl merge-lora` tells no plugin that it has merged; the card of a merged model is a command"
)


def installed_axolotl() -> str:
    """The version of axolotl in this environment; RuntimeError where none is installed."""
    try:
        return version("axolotl")
    except PackageNotFoundError as error:
        raise RuntimeError(f"axolotl is not installed as a package; {_remedy()}") from error


def find_untested() -> str | None:
    """What is wrong with the installed version, and the way out; None for a version that was tested."""
    found = installed_axolotl()
    if SpecifierSet(TESTED).contains(found, prereleases=True):
        return None
    return (
        f"axolotl {found} is installed, and axolotl-dece was tested with {TESTED} only: with another version a run "
        f"could train plain cross-entropy without a word, so none is started; {_remedy()}"
    )


def refuse_untested() -> None:
    """RuntimeError for a version that was not tested: some versions of axolotl pass over an ImportError."""
    if problem := find_untested():
        raise RuntimeError(problem)


def dotted_name(plugin: str) -> str:
    """A plugin's name as the installed version keeps it."""
    return plugin.replace(":", ".", 1) if COLON_FORM.is_here else plugin


def _remedy() -> str:
    return f"`pip install 'axolotl{TESTED}'` (0.20 and newer need Python 3.12), or look for a newer axolotl-dece"
