"""Network mode carried out: look, plan, create or recreate, look again.

Owns the one network that carries our label. Docker is not restarted and daemon.json is not touched.
"""

from __future__ import annotations

from pathlib import Path

from flanpy.docker.client import Docker
from flanpy.docker.facts import DockerFacts
from flanpy.docker.network import NetworkPlan, NetworkStep, plan_network
from flanpy.docker.wanted import Wanted
from flanpy.errors import DockerConflict, DockerError
from flanpy.model.bridge import DOCKER_NETWORK


def plan(socket: Path, wanted: Wanted) -> NetworkPlan:
    """Plan the action of apply. Raises DockerUnreachable."""
    docker = Docker(socket)
    try:
        return _planned(docker, docker.look(), wanted)
    finally:
        docker.close()


def apply(socket: Path, wanted: Wanted) -> NetworkPlan:
    """Carry out the plan, and return it. Raises DockerConflict if containers or another owner have the network."""
    docker = Docker(socket)
    try:
        found = docker.look()
        planned = _planned(docker, found, wanted)
        _refuse(planned)
        if planned.step is NetworkStep.RECREATE and found.own is not None:
            docker.remove(found.own.id)
        if planned.step in {NetworkStep.CREATE, NetworkStep.RECREATE}:
            _create(docker, planned)
            _verify(docker, wanted)
        return planned
    finally:
        docker.close()


def remove(socket: Path) -> bool:
    """Take the network away; False if there is none. Raises DockerConflict if it is in use, or not ours."""
    docker = Docker(socket)
    try:
        own = docker.look().own
        if own is None:
            return False
        if not own.ours:
            raise DockerConflict(f"Docker's network '{own.name}' is not flanpy's: it stays")
        if holders := _holders(docker, own.id):
            raise DockerConflict(_held(holders))
        docker.remove(own.id)
        return True
    finally:
        docker.close()


def _planned(docker: Docker, found: DockerFacts, wanted: Wanted) -> NetworkPlan:
    holders = _holders(docker, found.own.id) if found.own is not None else ()
    return plan_network(wanted, found, holders)


def _holders(docker: Docker, network_id: str) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in docker.holders(network_id)))


def _refuse(planned: NetworkPlan) -> None:
    if planned.step is NetworkStep.TAKEN:
        raise DockerConflict(f"Docker has a network '{DOCKER_NETWORK}' that is not flanpy's: remove it")
    if planned.step is NetworkStep.HELD:
        raise DockerConflict(f"{'; '.join(planned.differences)}: {_held(planned.holders)}")


def _held(holders: tuple[str, ...]) -> str:
    more = f" and {len(holders) - 5} more" if len(holders) > 5 else ""
    return (
        f"the network '{DOCKER_NETWORK}' is held by {', '.join(holders[:5])}{more}: remove or disconnect them, "
        "then run this again"
    )


def _create(docker: Docker, planned: NetworkPlan) -> None:
    try:
        docker.create(planned.recipe)
    except DockerError as error:
        if "overlaps" in str(error):
            raise DockerConflict(
                f"{error}: if docker0 has the subnet, give it another bip in daemon.json and restart Docker"
            ) from error
        raise


def _verify(docker: Docker, wanted: Wanted) -> None:
    after = plan_network(wanted, docker.look(), ())
    if after.step is not NetworkStep.KEEP:
        raise DockerError(f"Docker made the network otherwise than asked: {'; '.join(after.differences)}")
