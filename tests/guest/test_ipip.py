"""ipip on whole hosts, on a kernel that has it: flannel's device and routes, drift, moves, and forged packets."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Container, Host, Lab, Stream, flanpyctl, unreached
from integration.net.namespaces import in_namespace
from tests.guest.moves import assert_moves_from_vxlan_and_back, index_of
from tests.lab.backend_side import rows
from tests.lab.conftest import BuildLab
from tests.lab.forged import COUNT, bare, listening
from tests.lab.overlay import assert_settled, eventually, metric, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

HARM = (
    "link del flannel.ipip",
    "link set flannel.ipip down",
    "link set flannel.ipip mtu 1300",
    "addr flush dev flannel.ipip",
    "route flush dev flannel.ipip",
    "link set flannel.ipip type ipip local 10.99.1.77 remote any",
)


def _ipip(lab: Lab, **backend: object) -> None:
    lab.configure({"Network": NETWORK, "Backend": {"Type": "ipip", **backend}})
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab)


def test_two_hosts_are_one_overlay_and_every_harm_to_it_is_repaired(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _ipip(lab)
    one, two = lab.containers
    assert unreached(lab.containers) == ()
    assert [host.subnet_file.mtu for host in lab.hosts] == [1480, 1480]
    assert one.ping(two, size=1480 - 28).ok
    (entry,) = (e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if '"h1"' in e.value)
    value = json.loads(entry.value)
    assert (value["BackendType"], "BackendData" in value, value["PublicIPv6"]) == ("ipip", False, None)
    assert {row["way"] for row in rows(lab.hosts[0]).values() if row["way"]} == {"tunnel"}

    host = lab.hosts[0]
    for harm in HARM:
        host.ip(harm)
        assert_settled(lab, deadline=30)
        eventually(lambda: one.ping(two).ok, harm, deadline=30)
    with Stream(one, two) as stream:
        stream.wait_flowing()
        before = index_of(host, "flannel.ipip")
        host.daemon.restart()
        assert_settled(lab)
        assert (index_of(host, "flannel.ipip"), stream.stop().whole) == (before, True)

    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={host.daemon.subnet_path}")
    assert standing(lab, host) == set()
    assert host.has_link("tunl0")  # the kernel's own, which the first device brings along


def test_device_and_routes_that_flannel_left_are_taken_over_in_place_under_a_stream(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(2)
    _ipip(lab)
    one, two = lab.containers
    host, peer = lab.hosts
    host.daemon.stop()
    before = index_of(host, "flannel.ipip")
    # as flannel leaves them: no mark, and proto boot
    subnet = peer.subnet_file.subnet.network
    host.ip(
        "link set flannel.ipip alias ''",
        f"route replace {subnet} via {peer.address} dev flannel.ipip onlink",
    )
    with Stream(one, two) as stream:
        stream.wait_flowing()
        host.daemon.up()
        assert_settled(lab)
        assert (index_of(host, "flannel.ipip"), stream.stop().whole) == (before, True)


def test_network_moves_from_vxlan_to_ipip_and_back_under_a_stream(build_lab: BuildLab) -> None:
    assert_moves_from_vxlan_and_back(build_lab, "ipip", mtu=1480, link="flannel.ipip")


def test_direct_routing_leaves_the_tunnel_to_hosts_behind_a_router(build_lab: BuildLab) -> None:
    lab = build_lab(3, segments=2)
    _ipip(lab, DirectRouting=True)
    assert unreached(lab.containers) == ()
    ways = [{name: row["way"] for name, row in rows(host).items() if row["way"]} for host in lab.hosts]
    assert {way for host in ways for way in host.values()} == {"direct", "tunnel"}


def test_packets_that_a_container_wraps_itself_end_at_its_host_and_are_counted(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "ipip"}})
    for host in lab.hosts:
        host.daemon.up("--ip-masq", "--filter-backend=nft")
    lab.attach_containers()
    attacker, victim = lab.containers
    here, there = lab.hosts
    liar = str(here.subnet_file.subnet.ip + 76)
    eventually(lambda: attacker.ping(victim).ok, "containers reach each other", deadline=60)
    with listening(victim.namespace) as ear:
        for host in (there, here):
            _wrap(attacker, host.address, bare(liar, victim.address, b"guarded"))
        eventually(lambda: _dropped(here) == 2 * COUNT, lambda: str(_dropped(here)), deadline=30)
        eventually(lambda: attacker.ping(victim).ok, "what is no forgery passes", deadline=30)
        assert ear.silent()


def _dropped(host: Host) -> float:
    return metric(host, "flanpy_filter_dropped_packets_total", reason="encapsulated", family="ipv4")


def _wrap(sender: Container, to: str, packet: bytes) -> None:
    """Send a packet in packets of protocol 4 from inside a container."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP) as sock:
            for _ in range(COUNT):
                with suppress(PermissionError):  # what the sender's own host drops on its way out
                    sock.sendto(packet, (to, 0))

    in_namespace(sender.namespace, work)
