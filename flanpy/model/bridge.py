"""The bridge of Docker's network on our subnet: one name, known to who makes it and to who filters at it."""

from __future__ import annotations

from typing import Final

BRIDGE: Final = "flanpy0"
"""Link name of the network that network mode keeps: fixed, for rules name it before it is there."""

DEFAULT_BRIDGE: Final = "docker0"
"""Link name of Docker's default network, which carries the subnet in bip mode."""

DOCKER_NETWORK: Final = "flanpy"
"""Name of that network in Docker."""
