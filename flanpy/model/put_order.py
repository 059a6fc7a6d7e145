"""The order in which kernel objects are put, and the mark of our links."""

from __future__ import annotations

from enum import IntEnum

LINK_ALIAS = "flanpy"
"""The `ifalias` that marks a link as ours."""


class PutOrder(IntEnum):
    """The order in which objects are put; they are deleted in the opposite order."""

    LINK = 0
    LINK_SETTING = 1
    ADDRESS = 2
    LINK_UP = 3
    TUNNEL = 4
    NEIGHBOUR = 5
    FDB = 6
    ROUTE = 7
    HOST_SETTING = 8
