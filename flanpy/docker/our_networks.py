"""The networks of ours that Docker has on this host: the overlay's, and the named ones. Read from Docker alone."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from flanpy.docker.attach import Attached, AttachNetwork, attached
from flanpy.docker.client import Docker
from flanpy.docker.facts import DockerNetwork
from flanpy.docker.named import LABEL
from flanpy.errors import MALFORMED, DockerAbsent, DockerConflict, DockerError
from flanpy.model.quoting import quoted


def named(docker: Docker) -> tuple[AttachNetwork, ...]:
    """Return the named networks that Docker has, in order of their names."""
    return tuple(sorted(map(_named, docker.labelled(LABEL)), key=lambda one: one.name))


def overlay(docker: Docker, subnet: IPv4Network | None) -> AttachNetwork | None:
    """Return the network that carries this host's subnet: that of network mode, or the default one."""
    found = docker.look()
    own, default = found.own, found.default
    if subnet is None:
        return None
    if own is not None and own.ours and own.subnet == subnet:
        return _flat(own, subnet, fixed=True)
    if default is not None and default.subnet == subnet:
        return _flat(default, subnet, fixed=False)
    return None


def asked_for(docker: Docker, name: str, subnet: IPv4Network | None) -> AttachNetwork:
    """Return the named network, or the overlay for "" and for its name in Docker. Raises DockerError."""
    flat = overlay(docker, subnet)
    if flat is not None and name in {"", flat.name}:
        return flat
    if not name:
        raise DockerConflict(
            f"Docker is not on this host's subnet {subnet}: run 'flanpyctl docker apply', or name a network"
            if subnet is not None
            else "this host has no subnet of the overlay: is flanpyd running? Or name a network with --network"
        )
    if (found := next((one for one in named(docker) if one.name == name), None)) is not None:
        return found
    raise DockerAbsent(
        f"Docker here has no named network {quoted(name)}: 'flanpyctl networks' lists them, 'flanpyctl docker networks'"
        " gives them to Docker; others are Docker's own: docker network connect"
    )


def everybody(docker: Docker, subnet: IPv4Network | None) -> tuple[Attached, ...]:
    """Return every container on a network of ours."""
    flat = overlay(docker, subnet)
    networks = (*((flat,) if flat is not None else ()), *named(docker))
    return tuple(one for network in networks for one in attached(network.name, docker.on_network(network.id)))


def _flat(found: DockerNetwork, subnet: IPv4Network, *, fixed: bool) -> AttachNetwork:
    reserved = {found.gateway: "the gateway"} if found.gateway is not None else {}
    return AttachNetwork(
        name=found.name, id=found.id, subnet=subnet, range=subnet, reserved=reserved, fixed=fixed
    )


def _named(document: Mapping[str, Any]) -> AttachNetwork:
    name = str(document.get("Name", ""))
    try:
        pool = next(one for one in document["IPAM"]["Config"] if ":" not in one["Subnet"])
        subnet = IPv4Network(pool["Subnet"])
        reserved = {IPv4Address(pool["Gateway"].partition("/")[0]): "the gateway"}
        for one in (pool.get("AuxiliaryAddresses") or {}).values():
            reserved[IPv4Address(one)] = "kept free"
        return AttachNetwork(
            name=name,
            id=str(document["Id"]),
            subnet=subnet,
            range=IPv4Network(pool.get("IPRange") or str(subnet)),
            reserved=reserved,
        )
    except (StopIteration, *MALFORMED) as error:
        raise DockerError(
            f"Docker's answer about network {quoted(name)} cannot be read: {quoted(str(error))}"
        ) from error
