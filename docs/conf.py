"""Settings of Sphinx, which builds the documentation: `make docs`. Pages are Markdown; every reference must resolve."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.search(r'__version__ = "(.+)"', (_ROOT / "flanpy/__init__.py").read_text())

project = "flanpy"
author = "the flanpy maintainers"
copyright = author  # noqa: A001, Sphinx's name for it
release = version = _VERSION[1] if _VERSION else ""

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "generate", "measured-modes.md"]
language = "en"

myst_enable_extensions = ["colon_fence", "deflist"]
# `#a-heading` in a link means that heading, as on the pages that show the repository.
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"flanpy {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []
# Nothing is loaded from elsewhere: the pages are read on hosts without a way out, too.
html_theme_options: dict[str, object] = {"footer_icons": []}
