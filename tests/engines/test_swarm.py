"""A Swarm overlay and a named network on the same hosts: both work while containers move from one to the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.hosts.engines import DockerLab
from tests.docker_logs import standing
from tests.engines.named_hosts import DEADLINE_S, box, in_docker, pings, remove
from tests.engines.overlay_hosts import ENGINES
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

GOSSIP_S = 30.0
"""Swarm tells the other host of a container by gossip, in rounds."""


@pytest.fixture(scope="module", params=ENGINES)
def lab(request: pytest.FixtureRequest) -> Iterator[DockerLab]:
    """Two hosts of one Swarm with flanpyd, an attachable overlay `old` and a named network `shop`."""
    with DockerLab(2, engine=request.param) as made, standing(made):
        made.configure()
        made.start_daemons()
        made.start_engines()
        here, there = made.hosts
        here.engine.docker("swarm", "init", "--advertise-addr", str(here.address))
        token = here.engine.docker("swarm", "join-token", "-q", "worker").stdout.strip()
        there.engine.docker(
            "swarm", "join", "--advertise-addr", str(there.address), "--token", token, f"{here.address}:2377"
        )
        here.engine.docker(
            "network", "create", "-d", "overlay", "--attachable", "--subnet", "10.200.0.0/24", "old"
        )
        here.flanpyctl("networks", "create", "shop", "10.96.0.0/16")
        for host in made.hosts:
            in_docker(host, "shop")
        yield made


def test_containers_move_from_a_swarm_overlay_and_both_networks_go_on_working(lab: DockerLab) -> None:
    here, there = lab.hosts
    web, db = box(here, "web", "old"), box(there, "db", "old")
    eventually(lambda: pings(web, db.address("old")), "the Swarm overlay does not work", deadline=GOSSIP_S)
    for host, one in ((here, web), (there, db)):
        host.engine.docker("network", "connect", "shop", one.name)
    for network in ("shop", "old"):
        eventually(
            lambda network=network: pings(web, db.address(network)) and pings(db, web.address(network)),  # type: ignore[misc]
            f"{network} does not work beside the other",
            deadline=DEADLINE_S,
        )
    namespace = web.as_end("shop").namespace
    for host, one in ((here, web), (there, db)):
        host.engine.docker("network", "disconnect", "old", one.name)
    eventually(lambda: pings(web, db.address("shop")), "not reached", deadline=DEADLINE_S)
    assert web.as_end("shop").namespace == namespace
    remove(web, db)
