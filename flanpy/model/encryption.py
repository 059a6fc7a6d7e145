"""The setting `encryption`: what this host wants of the packets between hosts, whatever the network config says."""

from __future__ import annotations

from enum import Enum
from typing import Final

ENCRYPTING: Final = "wireguard"
"""The backend whose packets between hosts are encrypted."""


class Encryption(Enum):
    """OFF leaves it to the network config; ON names a network in clear; REQUIRED has no packet pass in clear."""

    OFF = "off"
    ON = "on"
    REQUIRED = "required"
