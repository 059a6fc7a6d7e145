"""Named networks in Docker carried out: look, plan, create, recreate or remove, one network after the other.

One network that cannot be made holds up none of the others. Docker is not restarted and daemon.json is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from flanpy.docker.client import Docker
from flanpy.docker.named import LABEL, NamedStep, plan_gone, plan_one
from flanpy.docker.network import NetworkStep
from flanpy.errors import DockerError, DockerUnreachable
from flanpy.model.networks.view import Joined

_LINKS: Final = Path("/sys/class/net")


def ensure(socket: Path, networks: Iterable[Joined], *, dry_run: bool = False) -> tuple[NamedStep, ...]:
    """Give Docker these networks and take away those of ours that are defined no more; return what each needed.

    A step that Docker refuses says so. Raises DockerUnreachable, and DockerError for a Docker that cannot be read.
    """
    docker = Docker(socket)
    try:
        steps = tuple(_planned(docker, tuple(networks)))
        return steps if dry_run else tuple([_carried_out(docker, step) for step in steps])
    finally:
        docker.close()


def _planned(docker: Docker, networks: tuple[Joined, ...]) -> Iterator[NamedStep]:
    """Yield what goes first: its range or bridge may be another network's now."""
    wanted = {joined.network.name for joined in networks}
    for present in docker.labelled(LABEL):
        if present.get("Name") not in wanted:
            yield plan_gone(present, _holders(docker, str(present.get("Id", ""))))
    for joined in networks:
        found = docker.document(joined.network.name)
        holders = _holders(docker, str(found.get("Id", ""))) if found is not None else ()
        yield plan_one(joined, found, holders, bridged=(_LINKS / joined.bridge).exists())


def _holders(docker: Docker, network_id: str) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in docker.holders(network_id)))


def _carried_out(docker: Docker, step: NamedStep) -> NamedStep:
    try:
        _carry_out(docker, step)
    except DockerUnreachable:
        raise
    except DockerError as error:
        return replace(step, refused=str(error))
    return step


def _carry_out(docker: Docker, step: NamedStep) -> None:
    if step.step in {NetworkStep.RECREATE, NetworkStep.REMOVE}:
        docker.remove(step.id)
    if step.step in {NetworkStep.CREATE, NetworkStep.RECREATE} and step.recipe is not None:
        docker.create(step.recipe)
