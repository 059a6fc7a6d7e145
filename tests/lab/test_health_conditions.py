"""Conditions of the host's tuning and the network's room, events and peers, as a running daemon tells them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.lab import Host, simulated_peers, write_peers
from integration.net.namespaces import sysctl
from tests.lab.conftest import BuildLab
from tests.lab.daemon_side import get
from tests.lab.etcd_side import conditions, ctl, put_config
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

NETWORK = "10.48.0.0/12"
DEADLINE_S = 60.0


def _ask(host: Host, resource: str) -> Any:
    return get(host.daemon.run_dir / "flanpyd.sock", resource)[1]


def _joined(host: Host) -> list[dict[str, Any]]:
    return [one for one in _ask(host, "/v1/events")["events"] if one["kind"] == "peer_joined"]


def _of(host: Host, kind: str) -> dict[str, Any]:
    return conditions(host)[kind]


def test_p20_neighbour_table_smaller_than_the_crowd_on_the_link_is_named_until_the_crowd_is_gone(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(1)
    lab.configure(network=NETWORK)
    lab.start_daemons("--probe=false")  # which would fill the table, and it is the machine's
    host = lab.hosts[0]
    kind = "NeighboursFit"
    eventually(lambda: _of(host, kind)["reason"] == "Fit", lambda: str(_of(host, kind)), deadline=DEADLINE_S)
    limit = int(
        next(word for word in _of(host, kind)["message"].replace(",", "").split() if word.isdecimal())
    )

    lease = write_peers(lab.etcd.api, simulated_peers(limit + 20, network=NETWORK))
    eventually(lambda: not _of(host, kind)["healthy"], lambda: str(_of(host, kind)), deadline=DEADLINE_S)
    said = _of(host, kind)
    assert (said["status"], said["reason"]) == ("False", "TooSmall")
    assert f"net.ipv4.neigh.default.gc_thresh3 = {limit}" in said["evidence"]
    assert "sysctl -w net.ipv4.neigh.default.gc_thresh3=" in said["cure"]
    assert host.daemon.is_ready(), "the host does its part"
    # The crowd comes in many writes, and the first that are too many are named.
    eventually(
        lambda: len(_ask(host, "/v1/peers")["peers"]) == limit + 20, "all are peers", deadline=DEADLINE_S
    )
    eventually(
        lambda: sum(one["count"] for one in _joined(host)) == limit + 20,
        "all are told of",
        deadline=DEADLINE_S,
    )
    assert len(_joined(host)) < 30, "a crowd is a few events"

    lab.etcd.api.revoke(lease)
    eventually(lambda: _of(host, kind)["healthy"], lambda: str(_of(host, kind)), deadline=2 * DEADLINE_S)


def test_p28_network_without_a_free_subnet_is_named_and_clears_when_there_is_one(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    put_config(lab, SubnetMin="10.50.1.0", SubnetMax="10.50.3.0")
    lab.start_daemons()
    host, kind = lab.hosts[0], "SubnetsAvailable"
    eventually(
        lambda: "1 of 3" in _of(host, kind)["message"], lambda: str(_of(host, kind)), deadline=DEADLINE_S
    )
    third = simulated_peers(3, network="10.50.0.0/16", first=1)
    taken = {row["subnet"] for row in _ask(host, "/v1/subnets")["subnets"]}
    (free,) = [peer for peer in third if str(peer.subnet) not in taken]
    lease = write_peers(lab.etcd.api, [free])
    eventually(lambda: not _of(host, kind)["healthy"], lambda: str(_of(host, kind)), deadline=DEADLINE_S)
    assert _of(host, kind)["reason"] == "Exhausted"
    assert "all 3 subnets" in _of(host, kind)["message"]
    assert "(SubnetsAvailable Exhausted" in ctl(host, "status", check=False)
    lab.etcd.api.revoke(lease)
    eventually(lambda: _of(host, kind)["healthy"], lambda: str(_of(host, kind)), deadline=DEADLINE_S)


def test_p05_strict_underlay_is_told_of_and_is_no_trouble_while_it_drops_nothing(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    host, stranger, kind = lab.hosts[0], lab.hosts[1], "HostTuned"
    nic = host.daemon.nic
    eventually(
        lambda: _of(host, kind)["reason"] == "Tuned", lambda: str(_of(host, kind)), deadline=DEADLINE_S
    )
    host.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{nic}/rp_filter")
    assert sysctl(host.namespace, f"net/ipv4/conf/{nic}/rp_filter") == "1"
    eventually(lambda: nic in _of(host, kind)["message"], lambda: str(_of(host, kind)), deadline=DEADLINE_S)
    assert _of(host, kind)["healthy"], "strict alone is how many hosts are set"
    assert stranger.daemon.running


def test_events_tell_what_was_repaired_and_go_on_after_a_number(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    host = lab.hosts[0]
    eventually(lambda: len(_ask(host, "/v1/peers")["peers"]) == 1, "the peer is known", deadline=DEADLINE_S)
    seen = max(one["number"] for one in _ask(host, "/v1/events")["events"])
    host.ip("route flush proto 70")

    def repaired() -> list[dict[str, Any]]:
        found = _ask(host, f"/v1/events?after={seen}")["events"]
        return [one for one in found if one["kind"] == "repaired" and one["what"] == "route"]

    eventually(repaired, lambda: json.dumps(_ask(host, "/v1/events")), deadline=DEADLINE_S)
    (one,) = repaired()
    assert one["count"] == 1
    assert "ip route add 10.50." in one["why"]
    status, refusal = get(host.daemon.run_dir / "flanpyd.sock", "/v1/events?after=x")
    assert (status, "after='x'" in refusal["error"]) == (400, True)
    (peer,) = _ask(host, "/v1/peers")["peers"]
    assert (peer["node_id"], peer["way"], peer["state"]) == (lab.hosts[1].name, "tunnel", "programmed")
