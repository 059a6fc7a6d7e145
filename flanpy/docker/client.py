"""Docker's API through its SDK, for commands: every call with a deadline, every failure in our words.

Owns the SDK, which the daemon must not load (6 MB). Synchronous.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import docker
import docker.errors
import requests
from docker.types import IPAMConfig, IPAMPool

from flanpy.docker.facts import DockerFacts, facts, network
from flanpy.docker.network import Recipe
from flanpy.docker.verdict import Silence, Silent
from flanpy.errors import MALFORMED, DockerError, DockerUnreachable
from flanpy.model.bridge import DOCKER_NETWORK

DEADLINE_S: Final = 5.0
_MANY: Final = 200
"""Containers that are looked at one by one; the others are only named."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container; `comes_back` says whether Docker starts it again by itself after a restart."""

    name: str
    id: str
    comes_back: bool | None = None


class Docker:
    """The Docker behind one socket. Connects on first use; raises DockerUnreachable where it cannot be asked."""

    def __init__(self, socket: Path, *, deadline: float = DEADLINE_S) -> None:
        self._socket = socket
        self._deadline = deadline
        self._client: docker.APIClient | None = None

    def look(self) -> DockerFacts:
        """Return Docker's present state."""
        with self._translated() as api:
            return facts(api.info(), _network(api, "bridge"), _network(api, DOCKER_NETWORK))

    def running(self) -> tuple[Container, ...]:
        """Return the containers that a restart without live-restore would stop."""
        with self._translated() as api:
            found = api.containers()
            return tuple(
                Container(_name(one), one["Id"], _comes_back(api, one) if number < _MANY else None)
                for number, one in enumerate(found)
            )

    def overlapping(self, subnet: IPv4Network) -> tuple[str, ...]:
        """Networks, save the default one, whose range is not free for `subnet`: dockerd would not start."""
        with self._translated() as api:
            found = [network(document) for document in api.networks() if document.get("Name") != "bridge"]
            return tuple(sorted(one.name for one in found if one.subnet and one.subnet.overlaps(subnet)))

    def holders(self, network_id: str) -> tuple[Container, ...]:
        """Containers that have the network, stopped ones too: they would not start again without it."""
        with self._translated() as api:
            found = api.containers(all=True, filters={"network": network_id})
            return tuple(Container(_name(one), one["Id"]) for one in found)

    def create(self, recipe: Recipe) -> None:
        pools = [IPAMPool(subnet=subnet, gateway=gateway) for subnet, gateway in recipe.pools]
        if recipe.slices:
            whole = zip(recipe.pools, recipe.slices, recipe.kept_free, strict=True)
            pools = [
                IPAMPool(
                    subnet=subnet,
                    gateway=gateway,
                    iprange=slice_,
                    aux_addresses={f"flanpy{number}": address for number, address in enumerate(kept)},
                )
                for (subnet, gateway), slice_, kept in whole
            ]
        with self._translated() as api:
            api.create_network(
                recipe.name,
                driver="bridge",
                options=dict(recipe.options),
                ipam=IPAMConfig(pool_configs=pools),
                labels=dict(recipe.labels),
                enable_ipv6=len(pools) > 1,
                internal=recipe.internal,
            )

    def document(self, name: str) -> Mapping[str, Any] | None:
        """Return Docker's document of one network, None if there is none of this name."""
        with self._translated() as api:
            return _network(api, name)

    def labelled(self, label: str) -> tuple[Mapping[str, Any], ...]:
        """Return Docker's documents of the networks with a label."""
        with self._translated() as api:
            return tuple(api.networks(filters={"label": label}))

    def remove(self, network_id: str) -> None:
        with self._translated() as api:
            api.remove_network(network_id)

    def container(self, name: str) -> Mapping[str, Any] | None:
        """Return Docker's document of one container, by name or id; None if there is none."""
        with self._translated() as api:
            try:
                found: Mapping[str, Any] = api.inspect_container(name)
            except docker.errors.NotFound:
                return None
            return found

    def on_network(self, network_id: str) -> tuple[Mapping[str, Any], ...]:
        """Return Docker's rows of the containers that have the network, stopped ones too."""
        with self._translated() as api:
            return tuple(api.containers(all=True, filters={"network": network_id}))

    def connect(self, network: str, container_id: str, address: str = "") -> None:
        """Put a container on a network, at an address that Docker chooses if none is given."""
        with self._translated() as api:
            api.connect_container_to_network(container_id, network, ipv4_address=address or None)

    def disconnect(self, network: str, container_id: str, *, force: bool = False) -> None:
        """Take a container off a network; with `force` also off one that Docker only believes it to be on."""
        with self._translated() as api:
            api.disconnect_container_from_network(container_id, network, force=force)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextmanager
    def _translated(self) -> Iterator[docker.APIClient]:
        """Errors of the SDK and of what it is built on become ours."""
        try:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=f"unix://{self._socket}", version="auto", timeout=int(self._deadline)
                )
            yield self._client
        except docker.errors.APIError as cause:
            raise DockerError(f"Docker refused: {cause.explanation or cause}") from cause
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as cause:
            raise DockerUnreachable(*self._explained(cause)) from cause
        except MALFORMED as cause:
            raise DockerUnreachable(
                f"what listens on {self._socket} does not answer as Docker does ({cause!r})",
                "name Docker's socket with --docker-socket",
            ) from cause

    def _explained(self, cause: BaseException) -> tuple[str, str]:
        """Return the problem and its cure."""
        match why_silent(cause):
            case Silence.FORBIDDEN:
                return f"no permission to use {self._socket}", "run as root, or as a member of its group"
            case Silence.HUNG:
                problem = f"Docker on {self._socket} gave no answer in {self._deadline:g} s"
                return problem, "see the log of dockerd"
            case Silence.NOT_RUNNING:
                return (
                    f"no Docker listens on {self._socket}",
                    "start it, or name its socket with --docker-socket",
                )
            case _:
                return f"Docker on {self._socket} cannot be asked: {cause}", ""


def why_silent(error: BaseException) -> Silence:
    """By the first telling error of a chain; requests wraps what the socket said several times."""
    seen: list[BaseException] = []
    while error not in seen:
        match error:
            case PermissionError():
                return Silence.FORBIDDEN
            case TimeoutError() | requests.exceptions.Timeout():
                return Silence.HUNG
            case (
                FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError() | ConnectionResetError()
            ):
                return Silence.NOT_RUNNING
            case _:
                seen.append(error)
                inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
                error = inner or error.__cause__ or error.__context__ or error
    return Silence.STRANGE


def silent(error: DockerUnreachable) -> Silent:
    """The error as the look that found out nothing."""
    why = why_silent(error)  # the cure is the verdict's to say, if the verdict knows the trouble
    return Silent(why, str(error) if why is Silence.STRANGE else error.problem)


def _network(api: docker.APIClient, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = api.inspect_network(name)
    except docker.errors.NotFound:
        return None
    return found


def _name(container: Mapping[str, Any]) -> str:
    names = container.get("Names") or [container["Id"][:12]]
    return str(min(names, key=len)).lstrip("/")


def _comes_back(api: docker.APIClient, container: Mapping[str, Any]) -> bool | None:
    try:
        policy = api.inspect_container(container["Id"])["HostConfig"]["RestartPolicy"]["Name"]
    except docker.errors.NotFound:  # gone meanwhile
        return None
    return policy in {"always", "unless-stopped", "on-failure"}
