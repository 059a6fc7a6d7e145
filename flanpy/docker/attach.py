"""A running container put on the overlay or on a named network, and taken off it.

Docker itself connects it, so that Docker keeps the address and sets it up again at each start of the container and of
Docker: nothing of ours is in that way, and nothing of ours is to be taken away when the container goes. A container of
`--network none` is taken off that network before, and put back when nothing else is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from flanpy.docker.client import Docker
from flanpy.docker.containers import (
    NO_NETWORK,
    InspectedContainer,
    inspected,
    refuse_shared,
    refuse_stopped,
)
from flanpy.errors import DockerConflict, DockerError


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachNetwork:
    """A network of ours in Docker. `subnet` is the whole of it, `range` the part that this host gives out.

    `reserved` are addresses that no container has. `fixed`: Docker takes a chosen address, which it does not on its
    default network.
    """

    name: str
    id: str
    subnet: IPv4Network
    range: IPv4Network
    reserved: Mapping[IPv4Address, str]
    fixed: bool = True

    @property
    def what(self) -> str:
        """Return the words for people."""
        return f"network '{self.name}'" if self.fixed else "the overlay"


@dataclass(frozen=True, slots=True, order=True)
class Attached:
    """A container on a network of ours; `address` is "" for a container that does not run and has no fixed one."""

    container: str
    network: str
    address: str
    running: bool = True


def attach(
    docker: Docker, name: str, network: AttachNetwork, address: IPv4Address | None = None
) -> InspectedContainer:
    """Put a running container on the network; return it as it is then. Raises DockerError, nothing then changed."""
    container = inspected(name, docker.container(name))
    refuse_shared(container)
    refuse_stopped(container)
    if network.name in container.networks:
        has = container.networks[network.name]
        raise DockerConflict(
            f"container '{container.name}' is on {network.what} already{has and f', at {has}'}"
        )
    others = attached(network.name, docker.on_network(network.id))
    if address is not None:
        refuse_address(network, address, others)
    else:
        refuse_full(network, others)
    _connect(docker, container, network, str(address or ""))
    return inspected(name, docker.container(container.id))


def refuse_address(network: AttachNetwork, address: IPv4Address, others: Iterable[Attached]) -> None:
    """Raise DockerConflict unless a container may have this address here."""
    if not network.fixed:
        raise DockerConflict(
            "Docker gives no chosen address on its default network, which carries the overlay here: leave --ip out, use"
            " a named network (flanpyctl networks create), or 'flanpyctl docker apply --mode network'"
        )
    if address not in network.subnet:
        raise DockerConflict(
            f"{address} is outside of {network.what}, {network.subnet}: choose one in {network.range}"
        )
    if address not in network.range:
        raise DockerConflict(
            f"{address} is another host's to give out: this host has {network.range} of {network.what}"
        )
    ends = {network.subnet.network_address: "its first", network.subnet.broadcast_address: "its last"}
    if why := {**ends, **network.reserved}.get(address):
        raise DockerConflict(f"{address} is no address for a container: it is {why} of {network.what}")
    if holder := next((one.container for one in others if one.address == str(address)), ""):
        raise DockerConflict(f"{address} of {network.what} is taken by container '{holder}': choose another")


def refuse_full(network: AttachNetwork, others: Iterable[Attached]) -> None:
    """Raise DockerConflict if no address is free: Docker would say so when the container is off `none` already."""
    never = {network.subnet.network_address, network.subnet.broadcast_address, *network.reserved}
    taken = {one.address for one in others if one.address}
    free = network.range.num_addresses - sum(one in network.range for one in never) - len(taken)
    if free <= 0:
        raise DockerConflict(
            f"no address in {network.range} of {network.what} is free: detach or remove a container of this host first"
        )


def _connect(docker: Docker, container: InspectedContainer, network: AttachNetwork, address: str) -> None:
    """Connect; whatever goes wrong, a container of `--network none` is on that again."""
    without = NO_NETWORK in container.networks
    try:
        if without:
            docker.disconnect(NO_NETWORK, container.id)
        docker.connect(network.id, container.id, address)
    except BaseException as error:
        try:
            _undo(docker, container, network, without=without)
        except DockerError as worse:
            raise DockerError(
                f"{error}; container '{container.name}' has no network now, as {worse}: attach it or run it again"
            ) from error
        raise


def _undo(docker: Docker, container: InspectedContainer, network: AttachNetwork, *, without: bool) -> None:
    """Put the container back, unless it is on the network after all: Docker may have gone on without us."""
    now = inspected(container.name, docker.container(container.id)).networks
    if now.get(network.name) or not without or NO_NETWORK in now:
        return
    if network.name in now:  # Docker 20.10 counts a container to a network that it could not join
        with suppress(DockerError):
            docker.disconnect(network.id, container.id, force=True)
    docker.connect(NO_NETWORK, container.id)


def detach(docker: Docker, container: InspectedContainer, network: str) -> None:
    """Take a container off a network; one that has no other is put on `none`, as Docker starts none without any."""
    docker.disconnect(network, container.id)
    if container.plain_networks == {network}:
        docker.connect(NO_NETWORK, container.id)


def attached(network: str, rows: Iterable[Mapping[str, Any]]) -> tuple[Attached, ...]:
    """Read Docker's rows of the containers that have a network, in order of their names."""
    found = []
    for row in rows:
        end = ((row.get("NetworkSettings") or {}).get("Networks") or {}).get(network) or {}
        fixed = (end.get("IPAMConfig") or {}).get("IPv4Address") or ""
        names = row.get("Names") or [str(row.get("Id", ""))[:12]]
        found.append(
            Attached(
                str(min(names, key=len)).lstrip("/"),
                network,
                str(end.get("IPAddress") or fixed),
                row.get("State") == "running",
            )
        )
    return tuple(sorted(found))
