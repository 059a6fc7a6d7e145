"""The simulated peers of the benchmarks, the same on both sides: as objects, as iproute2's lines, and as seen
on netlink."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.inside.peers import bridge_lines, ip_lines, peers
from bench.inside.program import ops_of
from bench.namespace import LINK, vxlan_namespace
from bench.overlay import peers_from
from bench.proc import cpu_seconds, mappings, memory
from bench.watch import KernelWatch, open_events, put_marks
from integration.net.namespaces import in_namespace, ip_batch, run_in, tool_json
from tests.netns import Namespace


def test_operations_put_every_neighbour_before_any_route() -> None:
    kinds = [str(op.obj.key[0]) for op in ops_of(peers(2, LINK))]
    assert kinds == ["neighbour"] * 2 + ["fdb"] * 2 + ["route"] * 2


def test_simulated_peers_of_different_numbers_share_nothing() -> None:
    several = [*peers_from(0, 300), *peers_from(300, 300), *peers_from(15_000, 10)]
    for own in ([peer.key for peer in several], [peer.public_ip for peer in several]):
        assert len(set(own)) == len(several)
    assert len({peer.vtep_mac for peer in several}) == len(several)


def test_memory_of_this_process_adds_up() -> None:
    found = memory(os.getpid())
    assert 0 < found["Anonymous"] < found["Pss"] <= found["Alone"] <= found["Rss"]
    assert any(path == "[heap]" for path, _ in mappings(os.getpid()))
    assert cpu_seconds(os.getpid()) > 0


@pytest.fixture
def namespace() -> Iterator[str]:
    with vxlan_namespace() as name:
        yield name


@pytest.mark.netns
def test_batches_make_what_the_operations_make(namespace: str) -> None:
    several = peers(3, LINK)
    run_in(namespace, ["bridge", "-batch", "-"], stdin="\n".join(bridge_lines(several)) + "\n")
    ip_batch(namespace, ip_lines(several))
    neighbours = {
        row["dst"]: row["lladdr"] for row in tool_json("ip", namespace, "neigh", "show", "dev", LINK)
    }
    fdb = {row["mac"]: row["dst"] for row in tool_json("bridge", namespace, "fdb", "show", "dev", LINK)}
    routes = tool_json("ip", namespace, "route", "show", "proto", "70")
    assert neighbours == {str(peer.neighbour.address): str(peer.neighbour.mac) for peer in several}
    assert fdb == {str(peer.fdb.mac): str(peer.fdb.destination) for peer in several}
    assert [(row["dst"], row["gateway"], row["flags"]) for row in routes] == [
        (str(peer.route.destination), str(peer.route.gateway), ["onlink"]) for peer in several
    ]


@pytest.mark.netns
def test_watch_tells_when_the_last_object_of_a_peer_came(namespace: str) -> None:
    (peer,) = peers_from(7, 1)
    where = f"dev {LINK}"
    with KernelWatch(in_namespace(namespace, open_events)) as watch:
        wait = watch.expect(put_marks(peer))
        vtep = peer.subnet.network_address
        here = Namespace(namespace)
        here.ip(f"neigh add {vtep} lladdr {peer.vtep_mac} {where} nud permanent")
        here.bridge(f"fdb add {peer.vtep_mac} {where} dst {peer.public_ip} self permanent")
        with pytest.raises(TimeoutError, match="1 of 3 kernel objects missing"):
            wait(0.05)
        here.ip(f"route add {peer.subnet} via {vtep} {where} onlink")
        last = wait(10)
        times = [watch.seen[mark] for mark in put_marks(peer)]
    assert times == sorted(times)
    assert last == times[-1]
