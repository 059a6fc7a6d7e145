"""Settings of Sphinx, which builds the documentation: `make docs`. Pages are Markdown; every reference must resolve."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

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

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
# `#a-heading` in a link means that heading, as on the pages that show the repository.
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"flanpy {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_js_files = ["tables.js"]
# A dash is printed as it is typed: an option copied from a page has two.
smartquotes = False
# Nothing is loaded from elsewhere: the pages are read on hosts without a way out, too.
html_theme_options: dict[str, object] = {"footer_icons": []}

_RUN = re.compile(
    r"^(?P<indent> *)<!-- run: (?P<where>[^;>]+?) *(?:;[^>]*)?-->\n(?P=indent)```sh\n", re.MULTILINE
)
_CHECKOUT = "in the checkout"


def _said_where(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Head each block of commands with the hosts on which it is typed, from the mark by which tests type it."""

    def headed(found: re.Match[str]) -> str:
        places = found["where"].split()
        where = _CHECKOUT if places == ["checkout"] else f"on {' and '.join(places)}"
        indent = found["indent"]
        return f"{indent}```{{code-block}} text\n{indent}:caption: {where}\n\n"

    source[0] = _RUN.sub(headed, source[0])


def setup(app: Sphinx) -> None:
    """Connect what the pages need beyond Markdown."""
    app.connect("source-read", _said_where)
