"""What some of the tested versions of axolotl do otherwise: one entry for each thing, asked where it matters.

An entry says in which versions something holds, and why it matters here. To drop a version, raise the lower end of
`versions.TESTED`: a test names the entries that no version is left for, and whatever asks them is to be deleted too.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from axolotl_dece.versions import installed_axolotl


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


def dotted_name(plugin: str) -> str:
    """A plugin's name as the installed version keeps it."""
    return plugin.replace(":", ".", 1) if COLON_FORM.is_here else plugin
