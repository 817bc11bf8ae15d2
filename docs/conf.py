"""The documentation site: `make docs` builds it into build/docs, without warnings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from axolotl_dece import __version__

project = "axolotl-dece"
author = "The axolotl-dece authors"
copyright = "The axolotl-dece authors, Apache-2.0"  # noqa: A001
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
# what the experiments wrote, which docs/results.md is made from
exclude_patterns = ["results/*/summary.md"]
myst_heading_anchors = 3
# commands stand in indented blocks, as in the README; not all of them are Python, Sphinx's guess
highlight_language = "none"

html_theme = "furo"
html_title = f"axolotl-dece {__version__}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_js_files = [("accessible.js", {"defer": "defer"})]
