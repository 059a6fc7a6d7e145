"""Every problem that can be injected in namespaces, by its id, with what must tell of it. One explicit tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from integration.faults import filters as hosts
from integration.faults import links, underlay
from integration.faults import records as leases
from integration.faults.problem import Course, Ground, Injection, Stage, Struck
from integration.net.namespaces import LabError

__all__ = [
    "INJECTIONS",
    "NOT_INJECTED",
    "Course",
    "Ground",
    "Injection",
    "Stage",
    "Struck",
    "inject",
    "injection",
]

_FLAPPING = "FlanpyFlapping"
_PROBED = "a few rounds of probes"
_READ = "a look through the packet filter"
_SEEN = "the watch on etcd"


def _block(strike: Callable[[Stage], Iterator[Struck]]) -> Callable[[Stage], AbstractContextManager[Struck]]:
    return contextmanager(strike)


def _heals(id_: str, title: str, strike: Callable[[Stage], Iterator[Struck]]) -> Injection:
    return Injection(
        id=id_,
        title=title,
        strike=_block(strike),
        course=Course.HEALS,
        alert=_FLAPPING,
        settle="a second; again and again until it is an alert",
    )


INJECTIONS: Final = (
    Injection(
        id="P01",
        title="Docker drops what comes from the overlay",
        strike=_block(hosts.engine_drops),
        condition="FirewallReady",
        alert="FlanpyFirewallNotReady",
        settle=_READ,
    ),
    Injection(
        id="P02",
        title="a firewall forwards nothing",
        strike=_block(hosts.filter_drops),
        condition="FirewallReady",
        alert="FlanpyFirewallNotReady",
        settle=_READ,
    ),
    _heals("P03", "a firewall reload wipes the rules", hosts.rules_vanish),
    _heals("P04", "ip_forward is reset", hosts.forwarding_is_off),
    _heals("P05", "the overlay's reverse-path filter is made strict", hosts.reverse_path_is_strict),
    Injection(
        id="P06",
        title="the overlay's port is blocked between two hosts",
        strike=_block(underlay.port_is_blocked),
        condition="PeersReachable",
        alert="FlanpyPeersUnreachable",
        settle=_PROBED,
    ),
    _heals("P07", "checksum offload is switched off", links.checksum_is_not_offloaded),
    Injection(
        id="P08",
        title="a foreign rule hides sources",
        strike=_block(hosts.source_is_hidden),
        condition="FirewallReady",
        alert="FlanpyFirewallNotReady",
        settle=_READ,
    ),
    Injection(
        id="P10",
        title="packet filter rules are refused",
        strike=_block(hosts.rules_are_refused),
        condition="FirewallReady",
        alert="FlanpyFirewallNotReady",
        settle="one attempt and the condition's grace",
    ),
    _heals("P11", "the device vanishes", links.device_vanishes),
    _heals("P12", "the device's MAC changes", links.mac_changes),
    _heals("P13", "routes are removed", links.routes_vanish),
    _heals("P14", "an entry of a peer is altered", links.entry_is_stale),
    Injection(
        id="P16",
        title="a poisoned lease",
        strike=_block(leases.poison),
        condition="PeerLeasesValid",
        alert="FlanpyPeerLeasesInvalid",
        settle=_SEEN,
    ),
    Injection(
        id="P18",
        title="a host-gw peer behind a router",
        strike=_block(leases.gateway_is_far),
        condition="PeersProgrammed",
        alert="FlanpyPeersNotProgrammed",
        settle=_SEEN,
        ground=Ground(hosts=2, backend="host-gw"),
    ),
    Injection(
        id="P19",
        title="large packets vanish",
        strike=_block(underlay.large_packets_vanish),
        condition="MTUConsistent",
        alert="FlanpyMTUBlackHole",
        settle=_PROBED,
    ),
    Injection(
        id="P20",
        title="more peers than neighbour entries",
        strike=_block(leases.neighbours_overflow),
        condition="NeighboursFit",
        alert="FlanpyNeighbourTableFull",
        settle=_SEEN,
        ground=Ground(hosts=1, network="10.48.0.0/12", flags=("--probe=false",)),
    ),
    Injection(
        id="P21",
        title="two hosts advertise one address",
        strike=_block(leases.address_is_shared),
        condition="DuplicatePublicIP",
        alert="FlanpyDuplicatePublicIP",
        settle=_SEEN,
    ),
    Injection(
        id="P22",
        title="IPv6 is off on the overlay's device",
        strike=_block(links.ipv6_is_off),
        condition="BackendReady",
        alert="FlanpyBackendNotReady",
        settle="the next look at the device",
        ground=Ground(hosts=2, ipv6=True),
    ),
    Injection(
        id="P23",
        title="etcd answers, but no watch gets through",
        strike=_block(underlay.watch_is_cut_off),
        condition="DatastoreReachable",
        alert="FlanpyDatastoreUnreachable",
        settle="the condition's grace",
    ),
    Injection(
        id="P24",
        title="etcd is away",
        strike=_block(underlay.etcd_is_away),
        condition="DatastoreReachable",
        alert="FlanpyDatastoreUnreachable",
        settle="the condition's grace",
    ),
    Injection(
        id="P26",
        title="another host took the subnet",
        strike=_block(leases.subnet_is_taken),
        condition="LeaseConflict",
        alert="FlanpyLeaseConflict",
        settle=_SEEN,
    ),
    Injection(
        id="P28",
        title="no subnet is left",
        strike=_block(leases.subnets_run_out),
        condition="SubnetsAvailable",
        alert="FlanpySubnetsExhausted",
        settle="the condition's grace",
        ground=Ground(hosts=1, room=("10.50.1.0", "10.50.3.0"), flags=("--probe=false",)),
    ),
    Injection(
        id="P29",
        title="a reservation for this host is not what it holds",
        strike=_block(leases.reservation_is_missed),
        condition="RestartNeeded",
        alert="FlanpyRestartNeeded",
        settle=_SEEN,
    ),
    Injection(
        id="P30",
        title="subnet.env cannot be written",
        strike=_block(hosts.file_is_wrong),
        condition="SubnetFileWritten",
        alert="FlanpySubnetFileNotWritten",
        settle="a second",
    ),
    Injection(id="P31", title="the daemon hangs", strike=_block(hosts.daemon_is_silent), alert="FlanpyDown"),
    Injection(
        id="P32",
        title="a foreign route overlaps the overlay",
        strike=_block(hosts.route_overlaps),
        condition="ForeignConflict",
        alert="FlanpyForeignConflict",
        settle="a second",
    ),
)

NOT_INJECTED: Final = {
    "P09": "a lost race for a port cannot be forced; rule texts are looked at in tests of the packet filter",
    "P15": "what is held back while etcd is away is told behind P24, its cause: the tests of two problems have both",
    "P17": "a restart leaves nothing that could be looked at afterwards",
    "P25": "a lost lease is taken again at once; what stays wrong is P24 or P26",
    "P27": "a changed address is taken over at once, and without an address that is P21",
}


def injection(id_: str) -> Injection:
    """The one with that id, in any case; LabError naming those there are."""
    for one in INJECTIONS:
        if one.id == id_.upper():
            return one
    known = " ".join(one.id for one in INJECTIONS)
    raise LabError(f"no injection {id_!r}: {NOT_INJECTED.get(id_.upper(), f'there are {known}')}")


@contextmanager
def inject(id_: str, stage: Stage) -> Iterator[Struck]:
    """Put the problem in place; leaving the block takes it away, however the block was left."""
    with injection(id_).strike(stage) as struck:
        yield struck
