"""Encapsulated packets made in containers of real engines, on every kind of Docker network, with any source address.

None of them reaches a container, on this host or another, whatever filter our rules are in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest

from integration.hosts.engines import FETCHED, SYSTEM, DockerHost, DockerLab
from integration.lab import Container
from tests.engines.outside import serving
from tests.engines.overlay_hosts import Overlay, box, set_up
from tests.lab.forged import PORT, forged, listening, send, send_as
from tests.lab.overlay import condition, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SECOND = "10.99.77.2"
"""An address that a host has beside that of its lease."""

NETWORKS = {"side": "", "named": "zoo7", "like-ours": "flanpy0"}
"""Docker networks beside the default one, and what their bridges are called; "": as Docker calls them."""

LABS = [
    pytest.param((SYSTEM, False), id="20.10-nft"),
    pytest.param((SYSTEM, True), id="20.10-legacy"),
    *(
        pytest.param((version, legacy), marks=pytest.mark.more_engines, id=f"{version}-{legacy}")
        for version in FETCHED
        for legacy in (False, True)
    ),
]


@dataclass
class Scene:
    """An attacker in every network of the first host; a victim on the second."""

    overlay: Overlay
    attackers: dict[str, Container]

    @property
    def here(self) -> DockerHost:
        return self.overlay.hosts[0]

    @property
    def there(self) -> DockerHost:
        return self.overlay.hosts[1]

    def start(self, *flags: str) -> None:
        for host in self.overlay.hosts:
            # Rules in plain nftables cannot overrule Docker's drops, and nothing but ours shall stand in the way.
            host.run("iptables", "-P", "FORWARD", "ACCEPT")
            host.run("iptables", "-I", "DOCKER-USER", "-j", "ACCEPT")
            host.run("iptables", "-t", "raw", "-F", "PREROUTING")
            host.daemon.stop()
            host.daemon.up("--ip-masq", *flags)
        for host in self.overlay.hosts:  # a host may be ready before its rules stand
            eventually(
                lambda host=host: condition(host, "FirewallReady")["status"] == "True",  # type: ignore[misc]
                lambda host=host: condition(host, "FirewallReady"),  # type: ignore[misc]
                deadline=30,
            )
        self.overlay.assert_reach()

    def targets(self) -> dict[str, DockerHost]:
        """By which addresses a frame may come to a VTEP, and whose that is."""
        far = dict.fromkeys((self.there.address, SECOND, str(self.there.subnet_file.subnet.ip)), self.there)
        near = (self.here.address, str(self.here.subnet_file.subnet.ip), "255.255.255.255")
        return {**far, **dict.fromkeys(near, self.here)}

    def sources(self, attacker: Container) -> tuple[str, ...]:
        """Return the sources that the attacker may claim: itself, hosts, containers of hosts, nobody."""
        return (
            attacker.address,
            self.here.address,
            self.there.address,
            str(self.here.subnet_file.subnet.ip + 9),
            str(self.there.subnet_file.subnet.ip + 9),
            "192.0.2.9",
        )

    def attack(self, name: str) -> Iterator[bytes]:
        """All that an attacker can try; what the frames say."""
        attacker, victim = self.attackers[name], self.overlay.two.as_end()
        own = str(IPv4Interface(f"{attacker.address}/24").network.broadcast_address)
        for address, host in {**self.targets(), own: self.here}.items():
            liar = str(self.here.subnet_file.subnet.ip + 9)
            text = f"{name} {address} plain".encode()
            send(attacker.namespace, address, forged(self.overlay.lab, host, victim, liar, text))
            yield text
            for source in self.sources(attacker):
                text = f"{name} {address} as {source}".encode()
                send_as(
                    attacker.namespace, source, address, forged(self.overlay.lab, host, victim, liar, text)
                )
                yield text

    def heard(self) -> set[bytes]:
        """Run all attacks and return the payloads that have come to the victim once they are over."""
        victim = self.overlay.two.as_end()
        with listening(victim.namespace) as ear:
            for name in self.attackers:
                for _ in self.attack(name):
                    pass
            send(self.overlay.one.as_end().namespace, victim.address, b"last", port=PORT)
            return ear.heard_before(b"last")


@pytest.fixture(scope="module", params=LABS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    version, legacy = request.param
    with DockerLab(3, engine=version, legacy=legacy) as lab, serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world)
        here, there = overlay.hosts
        there.ip(f"addr add {SECOND}/16 dev eth0")
        attackers = {"bridge": overlay.one.as_end()}
        for number, (name, bridge) in enumerate(NETWORKS.items()):
            named = ("-o", f"com.docker.network.bridge.name={bridge}") if bridge else ()
            here.engine.docker("network", "create", "--subnet", f"172.31.{number}.0/24", *named, name)
            attackers[name] = box(here, name, "--network", name).as_end(name)
        for host in overlay.hosts:  # nothing but our rules shall stand in the way of a forged source
            host.run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done")
        yield Scene(overlay, attackers)


@pytest.mark.parametrize("flavour", ["auto", "nft"])
def test_h2_no_container_on_any_docker_network_sends_an_encapsulated_packet_to_anybody(
    scene: Scene, flavour: str
) -> None:
    scene.start("--encapsulation-guard=off", f"--filter-backend={flavour}")
    loud = {text.split()[0].decode() for text in scene.heard()}
    assert loud == set(scene.attackers), "every attacker would be heard"

    scene.start(f"--filter-backend={flavour}")
    assert scene.heard() == set()
    eventually(
        lambda: scene.overlay.one.as_end().ping(scene.overlay.two.as_end()).ok, "peers meet", deadline=30
    )
