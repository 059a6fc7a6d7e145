"""The conversion of a line of help into a sentence on a page."""

from __future__ import annotations

import re

_NAMES = frozenset(
    {"daemon.json", "dockerd", "etcd", "flannel", "flanneld", "flanpy", "flanpyctl", "flanpyd", "iptables", "nftables",
     "subnet.env", "systemd"}
)  # fmt: skip
"""What keeps its spelling wherever it stands."""


def sentence(text: str) -> str:
    """Return the line with a capital at the front, unless a name stands there, and a full stop at the end."""
    text = " ".join(text.split())
    first = re.match(r"[\w.]*\w", text)
    named = first is not None and first[0] in _NAMES
    return (text if named else f"{text[:1].upper()}{text[1:]}") + (
        "" if text.endswith((".", "?", ":")) else "."
    )
