"""A container as Docker's documents show it, and the reasons for which none may be attached or linked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flanpy.errors import DockerAbsent, DockerConflict, DockerError
from flanpy.model.quoting import quoted

NO_NETWORK: Final = "none"
"""Docker's network of containers that have none, and the mode of those that were started so."""

_HOST: Final = "host"
_SHARES: Final = "container:"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedContainer:
    """A container. `networks` are its addresses by network, "" for none.

    `sandbox` is the file of its network namespace. It is dockerd's: no process of the container can replace it.
    """

    id: str
    name: str
    running: bool
    mode: str
    sandbox: str
    networks: Mapping[str, str]

    @property
    def plain_networks(self) -> frozenset[str]:
        """Return the networks that it is really on."""
        return frozenset(self.networks) - {NO_NETWORK}


def inspected(name: str, document: Mapping[str, Any] | None) -> InspectedContainer:
    """Read /containers/NAME/json. Raises DockerAbsent without a document."""
    if document is None:
        raise DockerAbsent(
            f"there is no container {quoted(name)} on this host: 'docker ps' lists those here; run this on its own host"
        )
    settings = document.get("NetworkSettings") or {}
    networks: Mapping[str, Any] = settings.get("Networks") or {}
    found = document.get("Id")
    if not isinstance(found, str) or not found:
        raise DockerError(f"Docker's answer about container {quoted(name)} has no id: is that Docker?")
    return InspectedContainer(
        id=found,
        name=str(document.get("Name", "")).lstrip("/") or found[:12],
        running=bool((document.get("State") or {}).get("Running")),
        mode=str((document.get("HostConfig") or {}).get("NetworkMode", "")),
        sandbox=str(settings.get("SandboxKey") or ""),
        networks={key: str((one or {}).get("IPAddress") or "") for key, one in networks.items()},
    )


def refuse_shared(container: InspectedContainer) -> None:
    """Raise DockerConflict for a container whose network is another's: the host's, or another container's."""
    if container.mode == _HOST:
        raise DockerConflict(
            f"container '{container.name}' has the host's network (--network host): run it with another one"
        )
    if container.mode.startswith(_SHARES):
        other = container.mode.removeprefix(_SHARES)[:12]
        raise DockerConflict(
            f"container '{container.name}' shares the network of container {quoted(other)}: name that one instead"
        )


def refuse_stopped(container: InspectedContainer) -> None:
    """Raise DockerConflict for a container that does not run."""
    if not container.running:
        raise DockerConflict(
            f"container '{container.name}' is not running: docker start {container.name}, then try again"
        )
