"""Which versions of axolotl were tested; with any other nothing is trained."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

TESTED = ">=0.19,<0.22"


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


def _remedy() -> str:
    return f"`pip install 'axolotl{TESTED}'` (0.20 and newer need Python 3.12), or look for a newer axolotl-dece"
