"""Encapsulated packets that no host of the overlay sent: forged ones, by real sockets, through real kernels."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from integration.etcd.peers import simulated_peers, write_peers
from integration.lab import Container, Host, Lab, flanpyctl
from integration.traffic.pairs import Probe
from tests.lab.conftest import BuildLab
from tests.lab.forged import (
    COUNT,
    PORT,
    UDP_PORT,
    VXLAN_PORT,
    bare,
    dropped,
    forged,
    listening,
    members,
    send,
    send_as,
)
from tests.lab.overlay import condition, eventually, metric

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

FLAVOURS = ("iptables-nft", "iptables-legacy")


@dataclass
class Scene:
    """Two hosts of the overlay and somebody else; an attacker in a container here, victims here and there."""

    lab: Lab
    flavour: str
    more: tuple[str, ...] = ()

    @property
    def here(self) -> Host:
        return self.lab.hosts[0]

    @property
    def there(self) -> Host:
        return self.lab.hosts[1]

    @property
    def outsider(self) -> Host:
        return self.lab.hosts[2]

    @property
    def attacker(self) -> Container:
        return self.lab.containers[0]

    def start(self, guard: str) -> None:
        for host in self.lab.hosts[:2]:
            if host.daemon.running:
                host.daemon.stop()
            flavour = f"--filter-backend={self.flavour}"
            host.daemon.up("--ip-masq", flavour, f"--encapsulation-guard={guard}", *self.more)
        for host in self.lab.hosts[:2] if guard != "off" else ():
            _assert_guarded(host, self.flavour, guard)

    def ways(self, victim: Container) -> list[tuple[str, Host, Container]]:
        """By which addresses the attacker gets a frame to a VTEP, whose that is, and who gets what is in it."""
        own_victim = self.here.containers[1]
        return [
            (self.there.address, self.there, victim),
            (str(self.there.subnet_file.subnet.ip), self.there, victim),
            (self.here.address, self.here, own_victim),
            (str(self.here.subnet_file.subnet.ip), self.here, own_victim),
        ]


def _assert_guarded(host: Host, flavour: str, guard: str) -> None:
    """Wait for the rules: legacy tables have no counter that would be missed before they stand."""
    reason = "strangers" if guard == "strangers" else "encapsulated"
    eventually(lambda: dropped(host, flavour, reason) >= 0, f"{host.name} has its rules", deadline=30)
    if flavour == "iptables-legacy":
        listing = ("iptables-legacy", "-t", "mangle", "-nvxL")
        eventually(lambda: " DROP " in host.run(*listing).stdout, f"{host.name} drops", deadline=30)
    eventually(
        lambda: condition(host, "FirewallReady")["status"] == "True", f"{host.name} says so", deadline=30
    )


def _scene(lab: Lab, flavour: str, guard: str, *more: str, backend: str = "vxlan") -> Scene:
    lab.configure(backend=backend)
    scene = Scene(lab, flavour, more)
    scene.start(guard)
    scene.here.attach_container()
    scene.here.attach_container()
    victim = scene.there.attach_container()
    eventually(lambda: scene.attacker.ping(victim).ok, "containers reach each other", deadline=30)
    return scene


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_frames_that_a_container_forges_end_at_its_host_and_its_own_affairs_go_on(
    build_lab: BuildLab, flavour: str
) -> None:
    scene = _scene(build_lab(3), flavour, "off")
    attacker, victim = scene.attacker, scene.there.containers[0]
    liar = str(scene.here.subnet_file.subnet.ip + 76)
    with listening(victim.namespace) as there, listening(scene.here.containers[1].namespace) as here:
        for number, (address, host, hit) in enumerate(scene.ways(victim)):
            text = f"unguarded {number}".encode()
            send(attacker.namespace, address, forged(scene.lab, host, hit, liar, text))
            ear = there if hit is victim else here
            assert ear.heard(text) == [f"::ffff:{liar}"] * COUNT, address

        scene.start("containers")
        eventually(lambda: attacker.ping(victim).ok, "containers reach each other", deadline=30)
        for address, host, hit in scene.ways(victim):
            at = scene.there if address == str(scene.there.subnet_file.subnet.ip) else scene.here
            before = dropped(at, flavour)
            send(attacker.namespace, address, forged(scene.lab, host, hit, liar, b"guarded"))
            _assert_dropped(at, flavour, before + COUNT, address)
        assert there.silent()
        assert here.silent()

    # an overlay of the containers' own, at the same port
    with listening(victim.namespace, VXLAN_PORT) as nested:
        send(attacker.namespace, victim.address, b"nested")
        assert nested.heard(b"nested") == [f"::ffff:{attacker.address}"] * COUNT
    # that port leads containers nowhere but to each other: a host has more addresses than its lease names
    before = dropped(scene.here, flavour)
    send(attacker.namespace, scene.outsider.address, b"elsewhere")
    _assert_dropped(scene.here, flavour, before + COUNT, "elsewhere")
    if flavour != "iptables-legacy":
        name, labels = "flanpy_filter_dropped_packets_total", {"reason": "encapsulated", "family": "ipv4"}
        eventually(
            lambda: metric(scene.here, name, **labels) == 4 * COUNT, scene.here.daemon.metrics, deadline=30
        )
    _assert_nothing_stays(scene.here)


def _assert_dropped(host: Host, flavour: str, count: int, what: str) -> None:
    eventually(
        lambda: dropped(host, flavour) == count,
        lambda: f"{what}: {host.name} has dropped {dropped(host, flavour)}",
        deadline=30,
    )


def _assert_nothing_stays(host: Host) -> None:
    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={host.daemon.subnet_path}", check=False)
    assert host.run("nft", "list", "ruleset").stdout == ""
    assert "FLANPY" not in host.run("iptables-legacy-save").stdout


@pytest.mark.parametrize(
    ("flavour", "plane"), [("nft", "kernel"), ("iptables-nft", "user"), ("iptables-legacy", "kernel")]
)
def test_h2_datagrams_that_a_container_forges_for_the_udp_backend_end_at_its_host(
    build_lab: BuildLab, flavour: str, plane: str
) -> None:
    """Masquerading lends a container its host's address, from which its peers take packets of that host's subnet."""
    scene = _scene(build_lab(3), flavour, "off", f"--udp-plane={plane}", backend="udp")
    attacker, victim = scene.attacker, scene.there.containers[0]
    liar = str(scene.here.subnet_file.subnet.ip + 76)
    with listening(victim.namespace) as ear:
        forged_ = bare(liar, victim.address, b"unguarded")
        send(attacker.namespace, scene.there.address, forged_, port=UDP_PORT)
        assert ear.heard(b"unguarded") == [f"::ffff:{liar}"] * COUNT

        scene.start("containers")
        eventually(lambda: attacker.ping(victim).ok, "containers reach each other", deadline=30)
        before = dropped(scene.here, flavour)
        for host in (scene.there, scene.here):
            forged_ = bare(liar, victim.address, b"guarded")
            send(attacker.namespace, host.address, forged_, port=UDP_PORT)
        _assert_dropped(scene.here, flavour, before + 2 * COUNT, "datagrams to the udp backend's port")
        for source in (scene.here.address, scene.there.address, scene.outsider.address, victim.address):
            for inner in (liar, victim.address, str(scene.there.subnet_file.subnet.ip + 77)):
                forged_ = bare(inner, victim.address, b"forged")
                send_as(attacker.namespace, source, scene.there.address, forged_, port=UDP_PORT)
        send(attacker.namespace, victim.address, b"its own", port=PORT)
        assert ear.heard_before(b"its own") == set()
    _assert_nothing_stays(scene.here)


def test_strangers_are_not_heard_until_they_have_a_lease_and_no_longer_than_that(build_lab: BuildLab) -> None:
    scene = _scene(build_lab(3), "nft", "containers")
    there, stranger, victim = scene.there, scene.outsider, scene.there.containers[0]
    liar = scene.attacker.address
    with listening(victim.namespace) as ear:
        send(stranger.namespace, there.address, forged(scene.lab, there, victim, liar, b"open"))
        assert ear.heard(b"open") == [f"::ffff:{liar}"] * COUNT

        scene.start("strangers")
        send(stranger.namespace, there.address, forged(scene.lab, there, victim, liar, b"shut"))
        eventually(
            lambda: dropped(there, "nft", "strangers") >= COUNT, "they are dropped and counted", deadline=30
        )
        assert ear.silent()
        assert scene.attacker.ping(victim, count=3, wait=30).ok

        _joins_moves_and_leaves(scene, stranger, victim)
        # repaired after whatever others do to it
        for harm in ("flush set ip flanpy members", "flush table ip flanpy", "delete table ip flanpy"):
            there.run("nft", *harm.split())
            _assert_repaired(scene, harm)
            assert scene.attacker.ping(victim, wait=30).ok


def _assert_repaired(scene: Scene, harm: str) -> None:
    host = scene.there
    eventually(
        lambda: (
            "saddr != @members fib" in host.run("nft", "list", "chain", "ip", "flanpy", "strangers").stdout
            and members(host) == {scene.here.address, host.address}
        ),
        lambda: f"{harm}: {members(host)}",
        deadline=30,
    )


def _joins_moves_and_leaves(scene: Scene, stranger: Host, victim: Container) -> None:
    stranger.daemon.up("--ip-masq")
    guest = stranger.attach_container()
    eventually(lambda: guest.ping(victim).ok, "who has a lease is heard", deadline=30)
    assert stranger.address in members(scene.there)

    before = stranger.address
    stranger.daemon.stop()
    moved = before.rsplit(".", 1)[0] + ".200"
    stranger.ip(f"addr add {moved}/16 dev eth0", f"addr del {before}/16 dev eth0")
    stranger.daemon.up("--ip-masq", f"--iface={moved}")
    eventually(lambda: guest.ping(victim).ok, "and heard from its new address", deadline=30)
    eventually(lambda: before not in members(scene.there), lambda: members(scene.there), deadline=30)

    stranger.daemon.stop()
    stranger.run(*flanpyctl(), "subnets", "release", "own")
    eventually(lambda: moved not in members(scene.there), lambda: members(scene.there), deadline=30)


def test_no_packet_among_peers_is_lost_while_a_crowd_of_others_comes_and_goes(build_lab: BuildLab) -> None:
    scene = _scene(build_lab(3), "nft", "strangers")
    api = scene.lab.etcd.api
    crowd = simulated_peers(100, network="10.50.0.0/16")
    with Probe(scene.attacker, scene.there.containers[0]) as probe:
        probe.wait_flowing()
        for number, peer in enumerate(crowd[:5]):
            write_peers(api, [peer])
            eventually(lambda n=number: len(members(scene.there)) == n + 3, "a peer", deadline=30)  # type: ignore[misc]
        lease = write_peers(api, crowd)
        everybody = {str(peer.public_ip) for peer in crowd}
        eventually(lambda: everybody <= members(scene.there), "all are in", deadline=30)
        api.revoke(lease)
        eventually(lambda: len(members(scene.there)) == 2, lambda: members(scene.there), deadline=30)
        report = probe.stop()
    assert report.lost == report.refused == 0


FLANNELS_EXAMPLE = {
    "Network": "10.0.0.0/8",
    "SubnetLen": 24,
    "SubnetMin": "10.10.0.0",
    "SubnetMax": "10.60.255.0",
}
"""flannel's Documentation/configuration.md, with bounds that leave the lab's underlay out."""


@pytest.mark.parametrize("backend", ["vxlan", "udp"])
def test_h1_m8_peers_inside_the_network_are_heard_and_containers_speak_for_themselves_in_every_flavour(
    build_lab: BuildLab, backend: str
) -> None:
    lab = build_lab(2)
    lab.configure({**FLANNELS_EXAMPLE, "Backend": {"Type": backend}})
    for flavour in ("nft", *FLAVOURS):
        for host in lab.hosts:
            if host.daemon.running:
                host.daemon.stop()
            host.daemon.up(f"--filter-backend={flavour}", "--udp-plane=user")
            _assert_guarded(host, flavour, "containers")
        one, other = lab.containers or lab.attach_containers()
        eventually(lambda a=one, b=other: a.ping(b).ok, f"{flavour}: one way", deadline=30)  # type: ignore[misc]
        eventually(lambda a=one, b=other: b.ping(a).ok, f"{flavour}: the other", deadline=30)  # type: ignore[misc]
        assert other.ping(one, count=3, wait=30).ok
        assert [dropped(host, flavour) for host in lab.hosts] == [0, 0]
        _assert_speaks_for_itself_only(one, other)
        for host in lab.hosts:
            assert _tracked(host) == 0, "nobody masquerades: no rule has the kernel track connections"


def _tracked(host: Host) -> int:
    return int(host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)


def _assert_speaks_for_itself_only(one: Container, other: Container) -> None:
    """M8: not for the other host's containers, for its address in the overlay, for a third one's, or for a host."""
    overlay = other.address.rsplit(".", 1)[0]
    with listening(other.namespace) as ear:
        for source in (other.address, f"{overlay}.0", f"{overlay}.77", "10.10.200.9", "10.99.0.2"):
            send_as(one.namespace, source, other.address, source.encode(), port=PORT)
        send_as(one.namespace, one.address, other.address, b"its own", port=PORT)
        assert ear.heard_before(b"its own") == set()
