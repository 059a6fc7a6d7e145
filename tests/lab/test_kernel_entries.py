"""Routes, neighbours and FDB entries are deleted, altered, multiplied or taken by others on a running host."""

from __future__ import annotations

import json
import random

import pytest

from integration.lab import ETCD_PREFIX, Host, Lab, Stream, flanpyctl, simulated_peers, unreached, write_peers
from tests.lab.overlay import (
    assert_settled,
    bridge,
    condition,
    events,
    eventually,
    leases,
    metric,
    never,
    repairs,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SUBNETS = f"{ETCD_PREFIX}/subnets/"


def test_p13_stream_flows_while_all_our_routes_are_deleted_a_hundred_times(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before = standing(lab, two)
    routes = len([line for line in before if line.startswith("route")])
    counted = repairs(two, "route")

    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        for _ in range(100):
            two.ip("route flush proto 70")
            eventually(lambda: _our_routes(two) == routes, lambda: wrongs(lab, two))
        stream.wait_flowing(deadline=10)
        report = stream.stop()

    assert report.whole
    assert standing(lab, two) == before
    eventually(lambda: repairs(two, "route") >= counted + 100, lambda: repairs(two, "route"))


def _our_routes(host: Host) -> int:
    return len(host.ip_json("-4", "route", "show", "proto", "70"))


def test_flannel_failure_06_flushed_routes_neighbours_and_fdb_return(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    counted = {kind: repairs(host, kind) for kind in ("route", "neighbour", "fdb")}

    host.ip("route flush dev flannel.1", "neigh flush dev flannel.1 nud permanent")
    for line in [line for line in before if line.startswith("fdb")]:
        host.run("bridge", "fdb", "del", line.split()[2], "dev", "flannel.1")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))

    for kind, count in counted.items():
        eventually(lambda kind=kind, count=count: repairs(host, kind) >= count + 2, kind)  # type: ignore[misc]
    assert unreached(lab.containers) == ()


def test_p15_flannel_failure_06_entries_of_leases_that_went_while_it_was_down_are_cleaned(lab: Lab) -> None:
    host = lab.hosts[1]
    peers = simulated_peers(5, network="10.50.0.0/16", first=201)
    lease = write_peers(lab.etcd.api, peers)
    assert_settled(lab)

    host.daemon.kill()
    lab.etcd.api.revoke(lease)
    assert any(str(peers[0].subnet) in line for line in standing(lab, host))
    host.daemon.up()

    assert_settled(lab)
    assert not any(str(peer.subnet) in line for peer in peers for line in standing(lab, host))


def test_flannel_failure_03_entries_deleted_beforehand_never_block_the_removal_of_a_lease(lab: Lab) -> None:
    host = lab.hosts[1]
    gone, new = simulated_peers(2, network="10.50.0.0/16", first=210)
    lease = write_peers(lab.etcd.api, [gone])
    assert_settled(lab)

    host.daemon.freeze()  # so that nothing is put back between our deleting and the lease's end
    host.ip(f"route del {gone.subnet}", f"neigh del {gone.subnet.network_address} dev flannel.1")
    host.run("bridge", "fdb", "del", gone.vtep_mac, "dev", "flannel.1", "dst", str(gone.public_ip))
    lab.etcd.api.revoke(lease)
    other = write_peers(lab.etcd.api, [new])
    host.daemon.thaw()

    eventually(lambda: f"{new.subnet}" in str(standing(lab, host)), lambda: wrongs(lab, host))
    assert_settled(lab, [host])
    eventually(
        lambda: condition(host, "PeersProgrammed")["healthy"], lambda: condition(host, "PeersProgrammed")
    )
    assert not [line for line in events(host, "kernel_write_failed") if "110" in str(line)]
    lab.etcd.api.revoke(other)
    assert_settled(lab)


def test_flannel_failure_03_removal_of_missing_entries_is_no_failure(lab: Lab) -> None:
    host = lab.hosts[1]
    failed = len(events(host, "kernel_write_failed"))
    peers = simulated_peers(8, network="10.50.0.0/16", first=211)
    for _ in range(5):
        lease = write_peers(lab.etcd.api, peers)
        eventually(lambda: str(peers[-1].subnet) in str(standing(lab, host)), lambda: wrongs(lab, host))
        # both at once: whoever comes first, the other finds nothing
        lab.etcd.api.revoke(lease)
        host.run("sh", "-c", "ip route flush proto 70; ip neigh flush dev flannel.1 nud permanent")
        assert_settled(lab, [host])
    assert len(events(host, "kernel_write_failed")) == failed


def test_p14_peer_with_a_new_mac_and_address_leaves_exactly_one_entry(lab: Lab) -> None:
    (peer,) = simulated_peers(1, network="10.50.0.0/16", first=220)
    lease = write_peers(lab.etcd.api, [peer])
    assert_settled(lab)
    for mac, public in (
        ("02:aa:00:00:00:01", "10.99.16.1"),  # a new MAC
        ("02:aa:00:00:00:01", "10.99.16.9"),  # a new address
        ("02:aa:00:00:00:02", "10.99.16.10"),  # both
    ):
        value = json.loads(peer.value)
        value["PublicIP"], value["BackendData"]["VtepMAC"] = public, mac
        lab.etcd.api.put(SUBNETS + peer.key, json.dumps(value), lease=lease)
        assert_settled(lab)
        for host in lab.hosts:
            lines = standing(lab, host)
            assert [line for line in lines if mac in line and "fdb" in line] == [
                f"fdb flannel.1 {mac} dst {public}"
            ]
            assert not any(peer.vtep_mac in line for line in lines)
    lab.etcd.api.revoke(lease)
    assert_settled(lab)


def test_p14_two_peers_that_swap_their_macs_end_up_right(lab: Lab) -> None:
    one, two = simulated_peers(2, network="10.50.0.0/16", first=221)
    lease = write_peers(lab.etcd.api, [one, two])
    assert_settled(lab)
    swapped = []
    for peer, other in ((one, two), (two, one)):
        value = json.loads(peer.value)
        value["BackendData"]["VtepMAC"] = other.vtep_mac
        swapped.append((SUBNETS + peer.key, json.dumps(value)))
    lab.etcd.api.put_all(swapped, lease=lease)
    assert_settled(lab)
    lab.etcd.api.revoke(lease)
    assert_settled(lab)


def test_p14_reused_public_ip_moves_to_the_new_peer(lab: Lab) -> None:
    old, new = simulated_peers(2, network="10.50.0.0/16", first=223)
    lease = write_peers(lab.etcd.api, [old])
    assert_settled(lab)
    value = json.loads(new.value)
    value["PublicIP"] = str(old.public_ip)
    lab.etcd.api.revoke(lease)
    lease = lab.etcd.api.grant(600)
    lab.etcd.api.put(SUBNETS + new.key, json.dumps(value), lease=lease)
    assert_settled(lab)
    lab.etcd.api.revoke(lease)
    assert_settled(lab)


def test_p14_further_fdb_destinations_are_removed(lab: Lab) -> None:
    host = lab.hosts[1]
    before, peer = standing(lab, host), leases(lab)["h1"]
    for extra in ("192.0.2.66", "192.0.2.67"):
        bridge(host, f"fdb append {peer.mac} dev flannel.1 dst {extra} self permanent")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert unreached(lab.containers) == ()


def test_p14_first_fdb_destination_replaced_by_another_is_put_right(lab: Lab) -> None:
    host = lab.hosts[1]
    before, peer = standing(lab, host), leases(lab)["h1"]
    bridge(host, f"fdb replace {peer.mac} dev flannel.1 dst 192.0.2.66 self permanent")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert unreached(lab.containers) == ()


def test_p14_permanent_garbage_on_our_device_is_pruned(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    host.ip(
        "neigh add 10.50.254.0 lladdr 02:66:00:00:00:01 dev flannel.1 nud permanent",
        "route add 10.50.254.0/24 via 10.50.254.0 dev flannel.1 onlink",
        "route add 10.50.253.0/24 dev flannel.1 proto static metric 7",
    )
    bridge(host, "fdb append 02:66:00:00:00:01 dev flannel.1 dst 192.0.2.66 self permanent")
    bridge(host, "fdb append 02:66:00:00:00:01 dev flannel.1 dst 192.0.2.67 self permanent")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))


def test_p14_default_fdb_entry_that_floods_is_pruned(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    bridge(host, "fdb append 00:00:00:00:00:00 dev flannel.1 dst 192.0.2.66 self permanent")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))


@pytest.mark.parametrize("seed", range(4))
def test_p14_random_corruption_converges(lab: Lab, seed: int) -> None:
    chance, host = random.Random(seed), lab.hosts[1]
    peers = simulated_peers(30, network="10.50.0.0/16", first=120)
    write_peers(lab.etcd.api, peers)
    assert_settled(lab, [host])
    before = standing(lab, host)
    for _ in range(6):
        lines = [
            _corruption(chance, peer.subnet.network_address, str(peer.subnet))
            for peer in chance.sample(peers, 8)
        ]
        host.run("sh", "-c", "; ".join(lines), check=False)
        for peer in chance.sample(peers, 4):
            verb = chance.choice(
                [f"replace {peer.vtep_mac} dst 192.0.2.9", f"del {peer.vtep_mac} dst {peer.public_ip}"]
            )
            bridge(host, f"fdb {verb} dev flannel.1 self permanent", check=False)
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    for peer in peers:  # one by one: so many in one revision would have to be agreed upon by a second listing
        lab.etcd.api.delete(SUBNETS + peer.key)
    assert_settled(lab)


def _corruption(chance: random.Random, vtep: object, subnet: str) -> str:
    return chance.choice([
        f"ip neigh del {vtep} dev flannel.1",
        f"ip neigh replace {vtep} lladdr 02:00:00:00:00:{chance.randrange(256):02x} dev flannel.1 nud permanent",
        f"ip neigh replace {vtep} lladdr 02:00:00:00:00:02 dev flannel.1 nud reachable",
        f"ip route del {subnet}",
        f"ip route replace {subnet} via 10.50.255.1 dev flannel.1 onlink",
        f"ip route replace {subnet} dev flannel.1 proto 70",
        f"ip route add {subnet} dev flannel.1 metric {chance.randrange(1, 9)}",
    ])  # fmt: skip


def test_foreign_route_where_ours_should_stand_is_named_and_never_replaced(lab: Lab) -> None:
    host = lab.hosts[1]
    (peer,) = simulated_peers(1, network="10.50.0.0/16", first=230)
    theirs = f"{peer.subnet} via 10.99.1.1 dev eth0 proto static"
    host.ip(f"route add {theirs}")
    lease = write_peers(lab.etcd.api, [peer])

    eventually(
        lambda: not condition(host, "ForeignConflict")["healthy"], lambda: condition(host, "ForeignConflict")
    )
    assert str(peer.subnet) in condition(host, "ForeignConflict")["message"]
    assert metric(host, "flanpy_foreign_conflicts") == 1
    host.run(*flanpyctl(), "diff", check=False)
    never(
        lambda: "static" not in str(host.routes()[str(peer.subnet)]),
        "the foreign route is replaced",
        seconds=0.5,
    )
    # the other hosts, and our other peers, are none the worse for it
    assert_settled(lab, [lab.hosts[0], lab.hosts[2]])

    host.ip(f"route del {theirs}")
    assert_settled(lab)
    eventually(
        lambda: condition(host, "ForeignConflict")["healthy"], lambda: condition(host, "ForeignConflict")
    )
    lab.etcd.api.revoke(lease)
    assert_settled(lab)


def test_foreign_route_put_over_ours_while_running_is_kept_and_ours_follows_it(lab: Lab) -> None:
    host = lab.hosts[1]
    peer = leases(lab)["h1"]
    host.ip(f"route replace {peer.subnet} via 10.99.1.1 dev eth0 proto static")

    eventually(
        lambda: not condition(host, "ForeignConflict")["healthy"], lambda: condition(host, "ForeignConflict")
    )
    assert host.routes()[peer.subnet]["protocol"] == "static"

    host.ip(f"route del {peer.subnet} proto static")
    assert_settled(lab)
    assert unreached(lab.containers) == ()


def test_p13_reaction_needs_no_timer(lab: Lab) -> None:
    """The periodic read-back is an hour away: what heals was seen, not stumbled upon."""
    host = lab.hosts[1]
    host.daemon.restart(env={"FLANPYD_RESYNC_INTERVAL": "1h"})
    assert_settled(lab, [host])
    host.ip("route flush proto 70")
    assert_settled(lab, [host])
    assert metric(host, "flanpy_resyncs_total", reason="timer") == 0
    host.daemon.restart()
