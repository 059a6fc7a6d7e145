"""All reference pages by file name."""

from __future__ import annotations

from docs.generate import (
    alerts,
    commands,
    conditions,
    configuration,
    documents,
    etcd,
    events,
    http,
    log,
    metrics,
    problems,
    systems,
)
from docs.generate.markdown import NOTE

_PAGES = {
    "configuration.md": configuration.page,
    "flanpyctl.md": commands.flanpyctl_page,
    "flanpyd.md": commands.flanpyd_page,
    "flanpy-store.md": commands.flanpy_store_page,
    "problems.md": problems.index,
    "conditions.md": conditions.page,
    "alerts.md": alerts.page,
    "metrics.md": metrics.page,
    "events.md": events.page,
    "log.md": log.page,
    "etcd.md": etcd.page,
    "http.md": http.page,
    "systems.md": systems.page,
}
_INDEX = """\
# Reference

Every page here is made from the program's own tables by `make reference`; a test fails when one is stale. The same words are in
`--help` and in the manual pages, *flanpyd*(8), *flanpyctl*(1), *flanpyd.toml*(5), *flanpy-store*(8).

```{toctree}
:maxdepth: 1

"""


def pages() -> dict[str, str]:
    """Texts by file name."""
    made = {name: page() for name, page in _PAGES.items()}
    names = "\n".join(name.removesuffix(".md") for name in _PAGES)
    return {
        **made,
        **problems.pages(),
        documents.SCHEMA: documents.schema(),
        "index.md": f"{NOTE}\n\n{_INDEX}{names}\n```\n",
    }
