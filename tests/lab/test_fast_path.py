"""The container fast path under real daemons: it carries flows, and rests for rules and onlookers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from integration.lab import Host, Lab, flanpyctl
from integration.net.namespaces import in_namespace
from tests.lab.backend_side import condition
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

_ASKED = "--container-fast-path=auto"
_LIMIT = "tbf rate 100mbit burst 64k latency 50ms"
_RULE = ["FORWARD", "-m", "limit", "--limit", "5/sec", "-j", "ACCEPT"]
_FILTERS = ("tc", "filter", "show", "dev", "eth0", "ingress")


@pytest.fixture(scope="module")
def fast() -> Iterator[Lab]:
    """Two hosts whose containers' flows are carried fast."""
    with Lab(2) as lab:
        lab.configure()
        lab.start_daemons(_ASKED)
        lab.attach_containers()
        for host in lab.hosts:
            _becomes(host, "Carries")
        yield lab


def _becomes(host: Host, reason: str) -> None:
    eventually(
        lambda: condition(host, "FastPath")["reason"] == reason,
        lambda: condition(host, "FastPath"),
        deadline=30,
    )


def _ping(lab: Lab, count: int = 20) -> None:
    one, other = lab.containers
    said = one.run("ping", "-n", "-q", "-i", "0.02", "-c", str(count), other.address).stdout
    assert " 0% packet loss" in said


def test_peers_tell_how_many_packets_went_fast_and_slow(fast: Lab) -> None:
    host = fast.hosts[0]
    _ping(fast)
    said = host.run(*flanpyctl(), "peers", "-o", "wide").stdout
    assert "FAST" in said
    sent = [line for line in host.daemon.metrics().splitlines() if 'direction="sent",path="fast"' in line]
    assert any(float(line.split()[-1]) >= 15 for line in sent), sent


def test_rule_that_looks_at_each_packet_has_it_rest_and_is_named(fast: Lab) -> None:
    host = fast.hosts[0]
    host.run("iptables", "-w", "-A", *_RULE)
    _becomes(host, "RulesLookAtPackets")
    assert "--limit 5/sec" in condition(host, "FastPath")["message"]
    assert condition(host, "FastPath")["healthy"]
    host.run("iptables", "-w", "-D", *_RULE)
    _becomes(host, "Carries")


def test_packet_socket_on_the_overlay_has_it_rest(fast: Lab) -> None:
    host = fast.hosts[0]

    def listen() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind(("flannel.1", 3))
        return sock

    with closing(in_namespace(host.namespace, listen)):
        _becomes(host, "Watched")
        _ping(fast, 3)
    _becomes(host, "Carries")


def test_queue_that_limits_a_container_has_it_rest(fast: Lab) -> None:
    host = fast.hosts[0]
    host.run("tc", "qdisc", "add", "dev", "flannel.1", "root", *_LIMIT.split())
    _becomes(host, "Shaped")
    host.run("tc", "qdisc", "del", "dev", "flannel.1", "root")
    _becomes(host, "Carries")


def test_filters_removed_by_hand_are_put_back(fast: Lab) -> None:
    host = fast.hosts[0]
    host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
    eventually(lambda: "flanpy_fp_in" in host.run(*_FILTERS).stdout, "the programs are back")
    _ping(fast)


def test_killed_daemon_leaves_its_containers_connected_and_the_next_goes_on(fast: Lab) -> None:
    host = fast.hosts[0]
    host.daemon.kill()
    _ping(fast, 100)
    host.daemon.restart(_ASKED)
    _becomes(host, "Carries")
    _ping(fast)


def test_daemon_that_is_to_have_no_fast_path_takes_the_filters_of_the_former_away(fast: Lab) -> None:
    host = fast.hosts[1]
    assert "flanpy_fp_in" in host.run(*_FILTERS).stdout
    host.daemon.restart()
    _becomes(host, "Off")
    eventually(lambda: "flanpy_fp_in" not in host.run(*_FILTERS, check=False).stdout, "no filter is left")
    _ping(fast)
    host.daemon.restart(_ASKED)
    _becomes(host, "Carries")


def test_cleanup_takes_the_filters_of_a_daemon_away(fast: Lab) -> None:
    host = fast.hosts[1]
    host.daemon.kill()
    said = host.run(*flanpyctl(), "cleanup", "--yes").stdout
    assert "tc filter del dev eth0 ingress" in said
    assert "flanpy_fp" not in host.run(*_FILTERS, check=False).stdout
    host.daemon.restart(_ASKED)
    _becomes(host, "Carries")
