"""Peers check the checksums that hosts leave to their network cards: a card that errs is found, traffic heals (P07)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.faults.means.broken_card import broken_card
from integration.lab import Host, Lab, transfer
from tests.lab.overlay import events, eventually, metric, metric_sum
from tests.lab.probe_side import DEADLINE_S, FAST, condition, wait_whole
from tests.lab.test_kernel_settings import _tx_checksum

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    """Two hosts that probe often, with a container each."""
    with Lab(2, ipv6=True) as lab:
        lab.configure(
            {
                "Network": "10.50.0.0/16",
                "EnableIPv6": True,
                "IPv6Network": "fd50::/48",
                "Backend": {"Type": "vxlan"},
            }
        )
        lab.start_daemons(FAST)
        lab.attach_containers()
        wait_whole(*lab.hosts)
        yield lab


def _chosen(host: Host) -> tuple[str, ...]:
    """Return level and value of the last choice that the log tells of, nothing before the first."""
    return tuple(
        str(line[key]) for line in events(host, "checksum_offload_chosen")[-1:] for key in ("level", "value")
    )


def _checked(host: Host, result: str) -> float:
    return metric(host, "flanpy_checksum_checks_total", result=result)


def test_offload_stays_on_where_peers_find_all_packets_whole(pair: Lab) -> None:
    for host in pair.hosts:
        eventually(lambda host=host: _checked(host, "whole") >= 4, host.daemon.metrics, deadline=DEADLINE_S)  # type: ignore[misc]
        assert _checked(host, "corrupted") == 0
        assert (condition(host, "ChecksumOffload")["reason"], _tx_checksum(host)) == ("Right", 1)
    assert metric_sum(pair.hosts[0], "flanpy_checksum_corrupted_peers") == 0


def test_card_that_errs_is_found_by_its_peer_and_left_out_over_a_restart_too(pair: Lab) -> None:
    host, peer = pair.hosts
    one, other = pair.containers
    with broken_card(pair, host):
        eventually(
            lambda: condition(host, "ChecksumOffload").get("reason") == "Corrupted",
            lambda: f"{condition(host, 'ChecksumOffload')} {host.daemon.metrics()}",
            deadline=DEADLINE_S,
        )
        said = condition(host, "ChecksumOffload")
        assert said["healthy"] is False
        assert "eth0 (driver veth)" in said["message"]
        assert said["evidence"] == ["eth0 (driver veth)", f"seen by {peer.name}"]
        eventually(lambda: _tx_checksum(host) == 0, "the offload is off")
        assert metric(host, "flanpy_checksum_corrupted_peers") == 1
        eventually(lambda: _chosen(host) == ("warning", "off"), lambda: _chosen(host))
        assert transfer(one, other).whole
        assert (condition(peer, "ChecksumOffload")["reason"], _tx_checksum(peer)) == ("Right", 1)

        host.daemon.restart(FAST)
        eventually(lambda: _chosen(host)[1:] == ("off",), lambda: _chosen(host))
        assert transfer(one, other).whole
