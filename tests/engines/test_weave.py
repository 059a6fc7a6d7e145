"""The way from Weave to a named network, with Weave's data path made by hand, as its program is not to be had here.

What `weave attach` leaves on a host: a bridge, VXLAN to the other hosts on UDP 6784, and `ethwe` in each container.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.hosts.engines import SYSTEM, DockerHost, DockerLab, EngineContainer
from integration.net.namespaces import run_in
from tests.docker_logs import standing
from tests.engines.named_hosts import DEADLINE_S, box, in_docker, pings, remove
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

MTU = 1376
"""Weave's own, which leaves room for its encryption."""


@pytest.fixture(scope="module")
def lab() -> Iterator[DockerLab]:
    """Two hosts with flanpyd, a bridge `weave` between them and a named network `shop`."""
    with DockerLab(2, engine=SYSTEM) as made, standing(made):
        made.configure()
        made.start_daemons()
        made.start_engines()
        here, there = made.hosts
        for host, other in ((here, there), (there, here)):
            weave = (
                "link add weave mtu 1376 type bridge",
                "link set weave up",
                f"link add vxlan-6784 mtu 1376 type vxlan id 6784 remote {other.address} dev eth0 dstport 6784",
                "link set vxlan-6784 master weave up",
            )
            for line in weave:
                host.run("ip", *line.split())
        here.flanpyctl("networks", "create", "shop", "10.96.0.0/16")
        for host in made.hosts:
            in_docker(host, "shop")
        yield made


def weave_attach(host: DockerHost, one: EngineContainer, address: str) -> None:
    """Do what `weave attach` does to a running container."""
    pid = str(one.inspect()["State"]["Pid"])
    host.run(
        "ip", "link", "add", "vethwe", "mtu", str(MTU), "type", "veth", "peer", "name", "ethwe", "netns", pid
    )
    host.run("ip", "link", "set", "vethwe", "master", "weave", "up")
    for line in (f"address add {address}/12 dev ethwe", f"link set ethwe mtu {MTU} up"):
        run_in(one.as_end().namespace, ("ip", *line.split()))


def test_containers_move_from_weaves_bridge_and_both_networks_go_on_working(lab: DockerLab) -> None:
    here, there = lab.hosts
    web, db = box(here, "web", ""), box(there, "db", "")
    namespace = web.as_end().namespace
    weave_attach(here, web, "10.32.0.1")
    weave_attach(there, db, "10.44.0.1")
    eventually(lambda: pings(web, "10.44.0.1"), "Weave's path does not work", deadline=DEADLINE_S)
    for host, one in ((here, web), (there, db)):
        host.engine.docker("network", "connect", "shop", one.name)
    for address in ("10.44.0.1", db.address("shop")):
        eventually(lambda address=address: pings(web, address), f"not {address}", deadline=DEADLINE_S)  # type: ignore[misc]
    assert pings(web, "10.44.0.1", size=MTU - 28)
    for host in lab.hosts:
        host.run("ip", "link", "del", "weave")
        host.run("ip", "link", "del", "vethwe")
        host.run("ip", "link", "del", "vxlan-6784")
    assert pings(web, db.address("shop"))
    assert pings(db, web.address("shop"))
    assert web.as_end().namespace == namespace, "no container was restarted"
    remove(web, db)
