"""Every condition, with every reason it can have; readiness and phase follow from them."""

from __future__ import annotations

import errno
import inspect
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.docker.watcher import DockerReport
from flanpy.errors import KernelCause, KernelError
from flanpy.model.address import Family
from flanpy.model.cloud import (
    AWS,
    CloudFault,
    CloudHost,
    CloudPlan,
    CloudRoute,
    CloudStatus,
    CloudTable,
    CloudTrouble,
)
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.facts import HostFacts, HostRoute
from flanpy.model.lease import InvalidLease, LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.names import NamesStatus, SharedAddress
from flanpy.model.objects import HostSysctl, LinkFeature, OtherLink, OtherRoute, Route, TunLink, TunnelEnd
from flanpy.model.offload import Corruption, LinkDriver, OffloadChoice, OffloadReason
from flanpy.model.ops import Delete, OpFailure, Put
from flanpy.model.packet_filter import (
    DockerRules,
    EncapsulationGuard,
    FilterChain,
    FilterChoice,
    FilterFacts,
    FilterPolicy,
    Flavour,
)
from flanpy.model.reach import Diagnosis, PathMtu, PeerReach, Reach, ReachReport, Trouble
from flanpy.model.revocation import Revocation
from flanpy.model.rules import HostRule, TableRoute
from flanpy.model.transit import Harm, Obstacle, Transit
from flanpy.model.tuning import HostTuning, NeighbourTable, ReversePath
from flanpy.model.wireguard import WgDevice
from flanpy.model.world import World
from flanpy.plan.diff import Difference
from flanpy.plan.gates import Hold
from flanpy.status.inputs import Inputs, OwnSource, OwnStatus, StoreStatus
from flanpy.status.judge import (
    addresses,
    cloud,
    firewall,
    foreign,
    host,
    names,
    offload,
    overlay,
    reach,
    tuning,
)
from flanpy.status.judge import lease as lease_rules
from flanpy.status.judge.conditions import NEEDED_TO_BE_READY, RULES, Phase, is_ready, judge, phase_of
from flanpy.store.own.allocation import Usage
from tests.states import DUAL, ROUTED, UNDERLAY, V4, V6, as_backend, crowd, lease, moved, moving, view, world
from tests.status.passes import (
    NOW,
    OWN,
    TWO_PEERS,
    WELL,
    conflicting,
    desired,
    last,
    link,
    own,
    passed,
    refused,
)

C = ConditionType
T, F, U = Status.TRUE, Status.FALSE, Status.UNKNOWN
GOOD, BAD = True, False

BLANK = Inputs()
NO_FACTS = replace(TWO_PEERS, facts=HostFacts())
NO_LINK = replace(TWO_PEERS, facts=HostFacts(problem="no link has a default route"))
DOWN = replace(TWO_PEERS, facts=HostFacts(problem="iface eth0: eth0 is down", link_down="eth0"))
UNPLUGGED = replace(TWO_PEERS, facts=replace(TWO_PEERS.facts, underlay=replace(UNDERLAY, carrier=False)))
BRIDGE = OtherLink("flannel.1", "bridge")
ROUTE = next(obj for obj in desired().values() if isinstance(obj, Route))
WG = WgDevice("flannel-wg", "AAAA", 51820)
TUNNEL = next(obj for obj in desired(as_backend("udp", TWO_PEERS)).values() if isinstance(obj, TunnelEnd))
TUN, FLEETING = TunLink("flannel0", 1472), OtherLink("flannel0", "tun")
FOREIGN = OtherRoute(ROUTE.destination, "blackhole", proto=4)
FORWARD = HostSysctl("net.ipv4.ip_forward", "1")
JUNK = InvalidLease("/coreos.com/network/subnets/junk", "no subnet")
JUNKED = replace(TWO_PEERS, view=view([OWN], invalid=(JUNK,)))
WITHHELD = replace(TWO_PEERS, withheld=frozenset({(lease(1).key, lease(1).record)}))
REVOKED = replace(TWO_PEERS, revoked=(Revocation(lease(1).record.node_id),))
UNLISTED = replace(TWO_PEERS, view=LeaseView())  # the subnet is from disk
DENIED = StoreStatus(error="permission denied", answers=True)
KEPT = Difference(deletes=(Delete(ROUTE),))  # what stood before a restart, and no gate lets go
STRAY = replace(lease(3), key=SubnetKey(IPv4Network("10.99.3.0/24"), None))  # outside of the network

HALFWAY = moving(crowd(2), as_backend("host-gw", crowd(2)), 2)
BEYOND = as_backend("host-gw", world(V4, lease(1), ROUTED))
"""A host-gw network with a peer behind a router."""

NFT, DOCKERS = Flavour.NFT, frozenset({(Flavour.NFT, Family.IPV4, DockerRules())})
FILTERED = replace(TWO_PEERS, filter=FilterFacts(frozenset({NFT}), NFT, DOCKERS))
UNFILTERED = replace(FILTERED, policy=replace(FILTERED.policy, filter=FilterPolicy(FilterChoice.OFF)))
LEGACY = FilterFacts(frozenset(Flavour), Flavour.IPTABLES_LEGACY)
STRANGERS = replace(FILTERED.policy, filter=FilterPolicy(encapsulation=EncapsulationGuard.STRANGERS))
OPEN = replace(FILTERED, filter=LEGACY, policy=STRANGERS)
CHAIN = FilterChain(Flavour.IPTABLES_NFT, Family.IPV4, "nat", "FLANPY-POSTROUTING")

UNREAD = replace(FILTERED, filter=FilterFacts(problem="no answer"))
DOCKER_20 = DockerReport(
    Condition(C.DOCKER_CONSISTENT, T, "Consistent", "docker0 is 10.50.10.0/24", healthy=GOOD)
)
DOCKER_28 = replace(DOCKER_20, needs_accepts=True)

DOCKER_WIDE = DockerReport(
    Condition(C.DOCKER_CONSISTENT, F, "MTUDiffers", "docker0 gives 1500", healthy=BAD, cure="make it again")
)


PART = HostRoute(IPv4Network("10.50.11.128/25"), "tun0", None)
OWN_PART = HostRoute(IPv4Network("10.50.10.128/25"), "docker0", None)
PREFERRED = last(
    world=as_backend(
        "udp",
        replace(
            TWO_PEERS,
            facts=replace(
                TWO_PEERS.facts, routes=(HostRoute(IPv4Network("10.50.0.0/16"), "flannel1", None),)
            ),
        ),
    )
)
FREE_PART = HostRoute(IPv4Network("10.50.200.0/24"), "tun0", None)
OVER_LAN, OVER_LAN_MEANT = (
    last(
        world=replace(
            TWO_PEERS,
            facts=replace(TWO_PEERS.facts, underlay=replace(UNDERLAY, address=IPv4Address("10.50.99.2"))),
            policy=replace(TWO_PEERS.policy, allowed_networks=allowed),
        )
    )
    for allowed in ((), (IPv4Network("10.50.0.0/16"),))
)
STOLEN, BESIDE, INSIDE = (
    last(world=replace(TWO_PEERS, facts=replace(TWO_PEERS.facts, routes=(*TWO_PEERS.facts.routes, route))))
    for route in (PART, OWN_PART, FREE_PART)
)
RESERVED = lease(9, reserved=True, node_id="node-0")
RESERVED_BESIDE = last(world=replace(TWO_PEERS, view=view([OWN, RESERVED])))
FOR_ANOTHER = lease(9, reserved=True, node_id="node-9")

DROPS = Obstacle(
    Harm.DROPPED, "dropped by nft inet guard", "policy drop", "10.50.10.2 -> 10.50.11.2", "accept it"
)
HIDES = Obstacle(
    Harm.SOURCE_HIDDEN, "rewritten by nft ip hider", "masquerade", "10.50.10.2 -> 10.50.11.2", "exempt it"
)
BOTH = Transit((HIDES, DROPS))

NOT_TRIED = PathMtu()


def peer(
    number: int, reach: Reach = Reach.REACHABLE, trouble: Trouble = Trouble.NONE, mtu: PathMtu = NOT_TRIED
) -> PeerReach:
    """A peer of tests/states.py as probed."""
    of = lease(number)
    said = ("UDP 8472 is silent", "open UDP 8472") if trouble is not Trouble.NONE else ("", "")
    return PeerReach(
        of.key, of.record.node_id, of.record.public_ip, None, reach, Diagnosis(trouble, *said), mtu=mtu
    )


def probed(*peers: PeerReach, problem: str = "") -> Inputs:
    """All is well, and these peers were probed."""
    report = ReachReport({one.key: one for one in peers}, of=len(peers), problem=problem)
    return replace(WELL, reach=report)


def tuned(**more: Any) -> Inputs:
    return replace(WELL, tuning=HostTuning(**more))


FEATURE = next(obj for obj in desired().values() if isinstance(obj, LinkFeature))
CARD, VMWARE = (LinkDriver("eth0", "e9000"),), (LinkDriver("bond0", "bonding"), LinkDriver("ens1", "vmxnet3"))
SEEN = Corruption(CARD, ("node-1",))


def narrow(network: NetworkConfig) -> World:
    """A host whose underlay is one byte too small for IPv6 of the overlay."""
    return world(network, lease(1, network), facts=moved(mtu=1349))


def not_forwarding(*links: str, of: World = TWO_PEERS) -> Inputs:
    """All is well, but these links forward nothing; docker0 has our subnet."""
    bridge = IPv4Address("10.50.10.1")
    facts = replace(
        of.facts,
        addresses=of.facts.addresses | {bridge},
        placed=frozenset({(bridge, "docker0")}),
        not_forwarding=frozenset(links),
    )
    return replace(WELL, last=passed(replace(of, facts=facts)))


TAKEN, LATER = (
    last(world=replace(TWO_PEERS, facts=replace(TWO_PEERS.facts, routes=(*TWO_PEERS.facts.routes, route))))
    for route in (
        HostRoute(IPv4Network("10.50.11.0/24"), "br-0123456789ab", None),
        HostRoute(IPv4Network("10.50.11.0/24"), "eth7", None, 425),
    )
)
RULED = last(
    world=replace(
        TWO_PEERS,
        facts=replace(
            TWO_PEERS.facts,
            rules=(HostRule(4, 5270, 52, routes=(TableRoute(IPv4Network("10.0.0.0/8"), "tun9"),)),),
        ),
    )
)
HOST_GW = as_backend("host-gw", TWO_PEERS)


def offloaded(
    choice: OffloadChoice = OffloadChoice.AUTO,
    *,
    kernel: tuple[int, int] = (6, 1),
    drivers: tuple[LinkDriver, ...] = CARD,
    corruption: Corruption | None = None,
) -> Inputs:
    """All is well on such a host."""
    facts = replace(moved(drivers=drivers), kernel=kernel)
    policy = replace(TWO_PEERS.policy, tx_checksum=choice)
    return last(world=replace(TWO_PEERS, facts=facts, policy=policy, corruption=corruption))


CLOUD_ROUTE = CloudRoute("rtb-1", IPv4Network("10.50.10.0/24"), "eni-1")


def clouded(**more: object) -> Inputs:
    """A host whose route stands at AWS."""
    well = CloudStatus(AWS, CloudHost("eni-1", "vpc/subnet"), (CloudTable("rtb-1", (CLOUD_ROUTE,), 2, 50),),
                       standing=CLOUD_ROUTE.destination)  # fmt: skip
    return replace(WELL, cloud=replace(well, **more))  # type: ignore[arg-type]  # the cases name fields of it


def naming(**more: object) -> Inputs:
    """A host whose resolver listens."""
    return replace(WELL, names=replace(NamesStatus("169.254.53.53:53"), **more))  # type: ignore[arg-type]  # as above


TWICE = SharedAddress("shop", "10.96.77.5", (("node-0", "h0", "db"), ("node-1", "h1", "web")))
BLOCKED = peer(2, Reach.UNREACHABLE, Trouble.PORT_BLOCKED)
ALONE = peer(1, Reach.UNREACHABLE, Trouble.NO_UNDERLAY)
ROOMY = NeighbourTable(Family.IPV4, limit=1024, needed=1024, refused=9)

CASES = [
    (C.DATASTORE_REACHABLE, BLANK, U, "NotContacted", BAD, "since start"),
    (C.DATASTORE_REACHABLE, replace(BLANK, store=StoreStatus(error="refused")), F, "Unreachable", BAD, "refused"),
    (C.DATASTORE_REACHABLE, replace(WELL, store=StoreStatus(contacted=True)), F, "Unreachable", BAD, "watch"),
    (C.DATASTORE_REACHABLE, replace(WELL, store=StoreStatus(error="line 1", listed=True)), F, "ListUnusable", BAD,
     "line 1"),
    (C.DATASTORE_REACHABLE, replace(probed(ALONE), store=StoreStatus(error="timed out")), F, "CutOff", BAD,
     "eth0 reaches neither etcd"),
    (C.DATASTORE_REACHABLE, replace(last(world=UNPLUGGED), store=StoreStatus(error="timed out")), F, "NoCarrier", BAD,
     "eth0 has no carrier"),
    (C.DATASTORE_REACHABLE, WELL, T, "Connected", GOOD, "192.0.2.1"),
    (C.NETWORK_CONFIG_VALID, BLANK, U, "NotRead", BAD, ""),
    (C.NETWORK_CONFIG_VALID, replace(WELL, network_error="no Network"), F, "Invalid", BAD, "no Network"),
    (C.NETWORK_CONFIG_VALID, WELL, T, "Valid", GOOD, "vxlan"),
    (C.LEASE_VALID, BLANK, F, "NotHeld", BAD, "no subnet"),
    (C.LEASE_VALID, own(lease=None, waiting="none is free"), F, "NotHeld", BAD, "none is free"),
    (C.LEASE_VALID, own(lease=None, drained=True), F, "Drained", BAD, "takes no part"),
    (C.LEASE_VALID, replace(own(lease=None, drained=True), shut_out=True), F, "Revoked", BAD, "was revoked"),
    (C.LEASE_VALID, own(yielded=True), F, "Lost", BAD, "10.50.10.0-24"),
    (C.LEASE_VALID, own(missing="key of 10.50.10.0-24", waiting="no space"), F, "KeyMissing", BAD, "10.50.10.0-24"),
    (C.LEASE_VALID, own(expires_at=NOW), F, "Expired", BAD, "10.50.10.0-24"),
    (C.LEASE_VALID, own(source=OwnSource.DISK, expires_at=None), T, "FromDisk", GOOD, "not confirmed"),
    (C.LEASE_VALID, own(lease=lease(0, reserved=True), expires_at=None), T, "Reserved", GOOD, "ours"),
    (C.LEASE_VALID, own(expires_at=NOW + 0.1), T, "Leased", GOOD, "ours"),
    (C.LEASE_CONFLICT, own(conflict="node-9 has it"), T, "OwnedByAnother", BAD, "node-9"),
    (C.LEASE_CONFLICT, WELL, F, "None", GOOD, ""),
    (C.DUPLICATE_PUBLIC_IP, own(duplicate_ip="node-9 says so too"), T, "SharedAddress", BAD, "node-9"),
    (C.DUPLICATE_PUBLIC_IP, WELL, F, "None", GOOD, ""),
    (C.UNDERLAY_READY, BLANK, U, "NotRead", BAD, ""),
    (C.UNDERLAY_READY, replace(WELL, last=passed(NO_FACTS, desired=None)), U, "NotRead", BAD, ""),
    (C.UNDERLAY_READY, replace(WELL, last=passed(NO_LINK, desired=None)), F, "NoLink", BAD, "default route"),
    (C.UNDERLAY_READY, replace(WELL, last=passed(DOWN, desired=None)), F, "LinkDown", BAD, "eth0 is down"),
    (C.UNDERLAY_READY, WELL, T, "Chosen", GOOD, "default route"),
    (C.BACKEND_READY, BLANK, U, "Waiting", BAD, ""),
    (C.BACKEND_READY, last(desired=None), U, "Waiting", BAD, ""),
    (C.BACKEND_READY, last(desired=None, error="no netlink"), F, "KernelUnreadable", BAD, "no netlink"),
    (C.BACKEND_READY, last(failures=(refused(link()),)), F, "LinkFailed", BAD, "flannel.1"),
    (C.BACKEND_READY, last(failures=(refused(TUNNEL, errno.EADDRINUSE),)), F, "PortTaken", BAD, "in use"),
    (C.BACKEND_READY, last(failures=(refused(TUNNEL, errno.EPERM),)), F, "DataPlaneFailed", BAD, "not permitted"),
    (C.BACKEND_READY, last(difference=conflicting((TUN, FLEETING))), F, "TunnelTaken", BAD, "a program that runs"),
    (C.BACKEND_READY, last(difference=conflicting((link(), BRIDGE))), F, "LinkTaken", BAD, "kind bridge"),
    (C.BACKEND_READY, last(difference=conflicting((ROUTE, FOREIGN))), T, "Programmed", GOOD, ""),
    (C.BACKEND_READY, WELL, T, "Programmed", GOOD, f"{len(desired())} objects"),
    (C.BACKEND_READY, replace(last(world=UNLISTED), store=DENIED), F, "NoPeersKnown", BAD, "permission denied"),
    (C.BACKEND_READY, replace(last(world=UNLISTED), store=replace(DENIED, answers=False)), T, "Programmed", GOOD, ""),
    (C.BACKEND_READY, replace(last(world=UNLISTED, difference=KEPT), store=DENIED), T, "Programmed", GOOD, ""),
    (C.PEERS_PROGRAMMED, BLANK, U, "NotListed", BAD, ""),
    (C.PEERS_PROGRAMMED, last(desired=None), U, "NotListed", BAD, ""),
    (C.PEERS_PROGRAMMED, last(failures=(refused(ROUTE), refused(ROUTE))), F, "Failed", BAD, "2 operations"),
    (C.PEERS_PROGRAMMED, last(failures=(refused(FORWARD),)), T, "Programmed", GOOD, ""),
    (C.PEERS_PROGRAMMED, WELL, T, "Programmed", GOOD, "2 peers"),
    (C.BACKEND_READY, last(failures=(refused(WG, errno.EADDRINUSE),)), F, "PortTaken", BAD, "in use"),
    (C.BACKEND_READY, replace(WELL, key_error="wgkey has mode 0644"), F, "KeyUnusable", BAD, "0644"),
    (C.BACKEND_READY, replace(WELL, backend_error="PreStartupCommand: no"), F, "CommandFailed", BAD, "PreStartup"),
    (C.BACKEND_READY, last(world=HALFWAY), T, "Moving", GOOD,
     "moving from vxlan: it is kept for the leases of node-2, which still say so"),
    (C.PEERS_PROGRAMMED, last(world=BEYOND), F, "NoWay", BAD,
     "1 of 2 peers cannot be reached: node-3: 198.51.100.3 is behind gateway 192.0.2.1 on eth0"),
    (C.PEER_LEASES_VALID, BLANK, T, "None", GOOD, ""),
    (C.PEER_LEASES_VALID, last(world=JUNKED), F, "Unusable", BAD, "junk"),
    (C.PEER_LEASES_VALID, last(world=REVOKED), F, "Revoked", BAD, "10.50.11.0-24"),
    (C.PEER_LEASES_VALID, last(world=WITHHELD), F, "KeptOut", BAD, "is withheld"),
    (C.PEER_LEASES_VALID, last(world=world(V4, lease(1), STRAY)), F, "Unusable", BAD, str(STRAY.key)),
    (C.PEER_LEASES_VALID, last(world=world(V4, lease(1), lease(2, mac="02:00:00:00:00:01"))), F, "Unusable", BAD,
     "02:00:00:00:00:01"),
    (C.PEER_LEASES_VALID, last(world=replace(TWO_PEERS, view=view([OWN], invalid=(JUNK,) * 5))), F, "Unusable", BAD,
     "and 2 more"),
    (C.PEER_LEASES_VALID, replace(WELL, changed_hands=("10.50.11.0-24 leads to",)), F, "ChangedHands", BAD, "leads to"),
    (C.PEER_LEASES_VALID, replace(last(world=JUNKED), changed_hands=("10.50.11.0-24 leads to",)), F, "Unusable", BAD,
     "junk: no subnet; 10.50.11.0-24 leads to"),
    (C.PEER_LEASES_VALID, WELL, T, "Valid", GOOD, ""),
    (C.MASS_DELETE_HELD, last(hold=Hold(30, 40, 1)), T, "Held", BAD, "30 of 40"),
    (C.MASS_DELETE_HELD, WELL, F, "None", GOOD, ""),
    (C.FOREIGN_CONFLICT, last(difference=conflicting((ROUTE, FOREIGN))), T, "Foreign", BAD, "1 foreign"),
    (C.FOREIGN_CONFLICT, PREFERRED, T, "RouteOverlaps", BAD, "10.50.0.0/16 by flannel1, with a lower metric"),
    (C.FOREIGN_CONFLICT, STOLEN, T, "RouteOverlaps", BAD, "10.50.11.128/25 by tun0, within node-1's 10.50.11.0/24"),
    (C.FOREIGN_CONFLICT, TAKEN, T, "RouteOverlaps", BAD, "by br-0123456789ab (the bridge of the Docker network"),
    (C.FOREIGN_CONFLICT, LATER, F, "None", GOOD, ""),
    (C.FOREIGN_CONFLICT, RULED, T, "PolicyRouting", BAD, "rule 5270: from all lookup 52: 10.0.0.0/8 dev tun9"),
    (C.FOREIGN_CONFLICT, BESIDE, F, "None", GOOD, ""),
    (C.FOREIGN_CONFLICT, INSIDE, F, "RouteInside", GOOD, "at no peer's subnet yet: 10.50.200.0/24 by tun0"),
    (C.FOREIGN_CONFLICT, OVER_LAN, T, "HostInside", BAD, "lies over this host's own network: "),
    (C.FOREIGN_CONFLICT, OVER_LAN_MEANT, F, "None", GOOD, ""),
    (C.FOREIGN_CONFLICT, WELL, F, "None", GOOD, ""),
    (C.MTU_CONSISTENT, last(world=narrow(DUAL)), F, "TooNarrow", BAD, "1349 bytes; behind a header of 70"),
    (C.MTU_CONSISTENT, last(world=narrow(V4)), U, "NotProbed", GOOD, ""),
    (C.BACKEND_READY, last(world=narrow(V6), desired=None), F, "TooNarrow", BAD, "and IPv6 needs 1280"),
    (C.FORWARDING_ENABLED, BLANK, U, "NotRead", BAD, ""),
    (C.FORWARDING_ENABLED, last(failures=(refused(FORWARD, errno.EACCES),)), F, "Refused", BAD, "denied"),
    (C.FORWARDING_ENABLED, WELL, T, "On", GOOD, ""),
    (C.FORWARDING_ENABLED, last(desired={}), T, "NotNeeded", GOOD, "no bridge"),
    (C.FORWARDING_ENABLED, not_forwarding("docker0"), F, "OffOnLink", BAD, "comes in by docker0"),
    (C.FORWARDING_ENABLED, not_forwarding("flannel.1", "eth0", "br-other"), T, "On", GOOD, ""),
    (C.FORWARDING_ENABLED, not_forwarding("eth0", of=HOST_GW), F, "OffOnLink", BAD, "comes in by eth0"),
    (C.SUBNET_FILE_WRITTEN, BLANK, U, "NotWritten", BAD, ""),
    (C.SUBNET_FILE_WRITTEN, replace(WELL, subnet_file="", subnet_file_error="full"), F, "WriteFailed", BAD, "full"),
    (C.SUBNET_FILE_WRITTEN, WELL, T, "Written", GOOD, "subnet.env"),
    (C.LEASE_SAVED, BLANK, T, "None", GOOD, ""),
    (C.LEASE_SAVED, replace(WELL, lease_file="", lease_file_error="full"), F, "WriteFailed", BAD, "full"),
    (C.LEASE_SAVED, WELL, T, "Saved", GOOD, "10.50.10.0-24"),
    (C.LISTENERS_UP, BLANK, T, "NotTried", GOOD, ""),
    (C.LISTENERS_UP, replace(WELL, listeners="", listeners_error="in use"), F, "CannotListen", BAD, "in use"),
    (C.LISTENERS_UP, WELL, T, "Listening", GOOD, "flanpyd.sock"),
    (C.RESTART_NEEDED, replace(WELL, pending_settings="iface"), T, "ConfigChanged", BAD, "iface"),
    (C.RESTART_NEEDED, replace(WELL, pending_network="range"), T, "ConfigChanged", BAD, "range"),
    (C.RESTART_NEEDED, replace(WELL, pending_lease="a", pending_network="b"), T, "ConfigChanged", BAD, "b; a"),
    (C.RESTART_NEEDED, RESERVED_BESIDE, T, "OtherReserved", BAD, "10.50.19.0"),
    (C.RESTART_NEEDED, last(world=replace(TWO_PEERS, view=view([OWN, FOR_ANOTHER]))), F, "None", GOOD, ""),
    (C.RESTART_NEEDED, WELL, F, "None", GOOD, ""),
    (C.DOCKER_CONSISTENT, WELL, U, "NotRead", GOOD, "not looked at"),
    (C.DOCKER_CONSISTENT, replace(WELL, docker=DOCKER_28), T, "Consistent", GOOD, "docker0"),
    (C.DOCKER_CONSISTENT, replace(last(world=UNREAD), docker=DOCKER_28), F, "EngineDropsUs", BAD, "no answer"),
    (C.DOCKER_CONSISTENT, replace(last(world=UNREAD), docker=DOCKER_20), T, "Consistent", GOOD, "docker0"),
    (C.FIREWALL_READY, WELL, U, "NotRead", GOOD, "not looked at"),
    (C.FIREWALL_READY, last(world=replace(FILTERED, filter=FilterFacts(problem="no answer"))), F, "Unreadable", BAD,
     "no answer"),
    (C.FIREWALL_READY, last(world=FILTERED, failures=(refused(CHAIN),)), F, "Failed", BAD, "FLANPY"),
    (C.FIREWALL_READY, last(world=UNFILTERED), T, "Off", GOOD, "operator"),
    (C.FIREWALL_READY, last(world=replace(FILTERED, filter=FilterFacts())), F, "NoTool", BAD, "neither nft nor"),
    (C.FIREWALL_READY, last(world=OPEN), F, "NoSets", BAD, "iptables-legacy cannot tell strangers"),
    (C.FIREWALL_READY, last(world=replace(FILTERED, policy=STRANGERS)), T, "Programmed", GOOD, "nft"),
    (C.FIREWALL_READY, last(world=as_backend("udp", OPEN)), T, "Programmed", GOOD, "iptables-legacy"),
    (C.FIREWALL_READY, last(world=FILTERED), T, "Programmed", GOOD, "nft with Docker's"),
    (C.FIREWALL_READY, replace(last(world=FILTERED), transit=Transit()), T, "Programmed", GOOD, "nft with Docker's"),
    (C.FIREWALL_READY, replace(last(world=FILTERED), transit=BOTH), F, "TrafficDropped", BAD, "guard"),
    (C.FIREWALL_READY, replace(last(world=FILTERED), transit=Transit((HIDES,))), F, "SourceHidden", BAD, "hider"),
    (C.DOCKER_CONSISTENT, replace(last(world=FILTERED), docker=DOCKER_28, transit=Transit((DROPS,))), T, "Consistent",
     GOOD, "docker0"),
    (C.PEERS_REACHABLE, WELL, U, "NotProbed", GOOD, "no peer"),
    (C.PEERS_REACHABLE, probed(problem="ICMP is not permitted"), U, "NoPermission", GOOD, "not permitted"),
    (C.PEERS_REACHABLE, probed(problem="no buffer space"), U, "ProbesFailed", GOOD, "no buffer"),
    (C.PEERS_REACHABLE, probed(), T, "NoPeers", GOOD, ""),
    (C.PEERS_REACHABLE, replace(probed(), last=passed(DOWN, desired=None)), U, "NotMeasured", BAD,
     "2 peers cannot be probed"),
    (C.PEERS_REACHABLE, probed(peer(1, Reach.UNKNOWN)), U, "NotProbed", GOOD, "none of 1"),
    (C.PEERS_REACHABLE, probed(peer(1), peer(2)), T, "Reachable", GOOD, "2 of 2"),
    (C.PEERS_REACHABLE, probed(peer(1), BLOCKED), F, "Unreachable", BAD,
     "1 of 2 peers unreachable: node-0 -> node-2: PortBlocked"),
    (C.PEERS_REACHABLE, probed(peer(1), peer(2, Reach.LOSSY)), F, "Lossy", BAD, "1 of 2 peers"),
    (C.MTU_CONSISTENT, WELL, U, "NotProbed", GOOD, ""),
    (C.MTU_CONSISTENT, probed(peer(1)), U, "NotProbed", GOOD, ""),
    (C.MTU_CONSISTENT, probed(peer(1, mtu=PathMtu(1450, 1450))), T, "Consistent", GOOD, "1 peer"),
    (C.MTU_CONSISTENT, probed(peer(1, mtu=PathMtu(1350, 1450))), F, "PathTooNarrow", BAD,
     "node-0 -> node-1: 1350 of 1450 bytes"),
    (C.MTU_CONSISTENT, probed(replace(BLOCKED, mtu=PathMtu(0, 1450))), U, "NotProbed", GOOD, ""),
    (C.MTU_CONSISTENT, replace(WELL, docker=DOCKER_WIDE), F, "ContainersTooWide", BAD, "docker0 gives 1500"),
    (C.NEIGHBOURS_FIT, WELL, U, "NotRead", GOOD, ""),
    (C.NEIGHBOURS_FIT, tuned(neighbours=(ROOMY,)), T, "Fit", GOOD, "IPV4 1024"),
    (C.NEIGHBOURS_FIT, tuned(neighbours=(ROOMY, replace(ROOMY, needed=1025))), F, "TooSmall", BAD, "1025 peers"),
    (C.NEIGHBOURS_FIT, tuned(neighbours=(replace(ROOMY, refused=9, refused_lately=3),)), F, "Overflowing", BAD,
     "refused 3"),
    (C.SUBNETS_AVAILABLE, WELL, U, "NotRead", GOOD, ""),
    (C.SUBNETS_AVAILABLE, replace(WELL, pools=(Usage(4, 3), None)), T, "Available", GOOD, "1 of 4"),
    (C.SUBNETS_AVAILABLE, replace(WELL, pools=(Usage(9, 3), Usage(4, 4))), F, "Exhausted", BAD, "all 4"),
    (C.HOST_TUNED, WELL, U, "NotRead", GOOD, ""),
    (C.HOST_TUNED, tuned(), T, "Tuned", GOOD, ""),
    (C.HOST_TUNED, tuned(reverse_path=ReversePath(("flannel.1",))), F, "StrictReversePath", BAD, "on flannel.1"),
    (C.HOST_TUNED, tuned(reverse_path=ReversePath(("eth0",), 7)), T, "Tuned", GOOD, "eth0"),
    (C.HOST_TUNED, tuned(reverse_path=ReversePath(("eth0",), 7, 2)), F, "StrictReversePath", BAD, "dropped 2"),
    (C.HOST_TUNED, replace(probed(peer(1)), tuning=HostTuning(ReversePath(("eth0",), 7, 2))), T, "Tuned", GOOD,
     "drops nothing of peers"),
    (C.CHECKSUM_OFFLOAD, BLANK, U, "NotPlanned", GOOD, ""),
    (C.CHECKSUM_OFFLOAD, last(world=as_backend("host-gw", TWO_PEERS)), T, "NotNeeded", GOOD, "no VXLAN device"),
    (C.CHECKSUM_OFFLOAD, WELL, T, "Right", GOOD, "on: nothing is known against"),
    (C.CHECKSUM_OFFLOAD, offloaded(kernel=(5, 4)), F, "OldKernel", GOOD, "off: kernel 5.4 gets"),
    (C.CHECKSUM_OFFLOAD, offloaded(drivers=VMWARE), F, "BrokenDriver", GOOD, "off: ens1 (driver vmxnet3) is known"),
    (C.CHECKSUM_OFFLOAD, offloaded(drivers=CARD, corruption=SEEN), F, "Corrupted", BAD,
     "off: packets that eth0 (driver e9000) made the checksum of came corrupted to node-1"),
    (C.CHECKSUM_OFFLOAD, offloaded(OffloadChoice.ON, drivers=CARD, corruption=SEEN), F, "CorruptedAndOn", BAD,
     "corrupted to node-1, and vxlan-tx-checksum is on"),
    (C.CHECKSUM_OFFLOAD, offloaded(OffloadChoice.ON, drivers=VMWARE), T, "Set", GOOD, "on: vxlan-tx-checksum is on"),
    (C.CHECKSUM_OFFLOAD, offloaded(OffloadChoice.OFF, corruption=SEEN, drivers=CARD), F, "Set", GOOD, "off: vxlan-tx"),
    (C.CHECKSUM_OFFLOAD, last(failures=(refused(FEATURE, errno.EPERM),)), F, "Refused", BAD, "cannot be switched on"),
    (C.BACKEND_READY, last(failures=(refused(FEATURE, errno.EPERM),)), T, "Programmed", GOOD, ""),
    (C.NAMES_SERVED, WELL, T, "NotAsked", GOOD, ""),
    (C.NAMES_SERVED, naming(error="cannot listen"), F, "NotListening", BAD, "cannot listen"),
    (C.NAMES_SERVED, naming(), F, "NoNames", BAD, "nobody tells"),
    (C.NAMES_SERVED, naming(told=True), T, "Serving", GOOD, "those last heard"),
    (C.NAMES_SERVED, naming(told=True, stale=False), T, "Serving", GOOD, "answers on 169.254.53.53:53"),
    (C.ENCRYPTED, WELL, F, "NotAsked", GOOD, "does not encrypt"),
    (C.NETWORKS_READY, WELL, T, "NotAsked", GOOD, "no named network"),
    (C.ADDRESSES_UNIQUE, WELL, T, "Unique", GOOD, ""),
    (C.ADDRESSES_UNIQUE, replace(WELL, shared=(TWICE,)), F, "TakenTwice", BAD,
     "network 'shop': 10.96.77.5 is the address of 'db' on h0 and 'web' on h1"),
    (C.ADDRESSES_UNIQUE, replace(probed(peer(1)), shared=(TWICE,)), F, "TakenTwice", BAD, "10.96.77.5"),
    (C.ADDRESSES_UNIQUE, replace(probed(ALONE), shared=(TWICE,)), T, "Unique", GOOD, ""),
    (C.CLOUD_ROUTES, WELL, T, "NotAsked", GOOD, ""),
    (C.CLOUD_ROUTES, replace(WELL, network=replace(V4, backend_type=AWS)), U, "NotRead", BAD, ""),
    *((C.CLOUD_ROUTES, clouded(trouble=CloudTrouble(fault, "ec2:Do", "No.")), F, fault.value, BAD, "ec2:Do: No.")
      for fault in CloudFault),
    (C.CLOUD_ROUTES, clouded(plan=CloudPlan(foreign=(CLOUD_ROUTE,))), F, "ForeignRoute", BAD, "-> eni-1 in rtb-1"),
    (C.CLOUD_ROUTES, clouded(misplaced="rtb-2"), F, "WrongTable", BAD, "by rtb-2"),
    (C.CLOUD_ROUTES, clouded(denied=(CloudTrouble(CloudFault.DENIED, "ec2:Do", "No."),)), F, "PermissionMissing", BAD,
     "ec2:Do"),
    (C.CLOUD_ROUTES, clouded(held="11 routes"), F, "StaleRoutesHeld", BAD, "11 routes"),
    (C.CLOUD_ROUTES, clouded(tables=(CloudTable("rtb-1", (CLOUD_ROUTE,), 45, 50),)), F, "TableNearlyFull", BAD,
     "45 routes"),
    (C.CLOUD_ROUTES, clouded(standing=None), T, "Waiting", GOOD, ""),
    (C.CLOUD_ROUTES, clouded(), T, "Standing", GOOD, "10.50.10.0/24 -> eni-1 in rtb-1"),
    (C.BACKEND_READY, last(world=as_backend(AWS, TWO_PEERS)), U, "NoCloudRoute", BAD, "CloudRoutes"),
]  # fmt: skip


def _judged(inputs: Inputs, kind: ConditionType, now: float = NOW) -> Condition:
    return next(condition for condition in judge(inputs, now) if condition.type is kind)


@pytest.mark.parametrize(
    ("kind", "inputs", "status", "reason", "healthy", "part"),
    CASES,
    ids=[f"{case[0].value}-{case[3]}-{number}" for number, case in enumerate(CASES)],
)
def test_condition_is_judged(
    kind: ConditionType, inputs: Inputs, status: Status, reason: str, healthy: bool, part: str
) -> None:
    found = _judged(inputs, kind)
    assert (found.status, found.reason, found.healthy) == (status, reason, healthy)
    assert part in found.message
    assert found.message
    assert "\n" not in found.message + found.cure
    assert re.fullmatch(r"([A-Z][a-z]+)+", found.reason)
    assert not (found.healthy and found.cure)


def test_missing_key_comes_with_why_etcd_did_not_take_it_again() -> None:
    found = _judged(
        own(missing="the key of 10.50.10.0-24 is not there", waiting="etcd is out of space"), C.LEASE_VALID
    )
    assert found.evidence == ("etcd is out of space",)
    assert found.cure


def test_table_above_has_every_reason_of_every_condition() -> None:
    source = "".join(
        inspect.getsource(module)
        for module in (
            addresses,
            cloud,
            firewall,
            foreign,
            host,
            lease_rules,
            names,
            offload,
            overlay,
            reach,
            tuning,
        )
    )
    assert len(RULES) == len(ConditionType)
    written = set(
        re.findall(r'(?:good|bad|unknown|unmeasured)\(\s*(?:kind|_KIND|ConditionType\.\w+), "(\w+)"', source)
    )
    written |= {
        "Reserved", "Leased", "Consistent", "NoPermission", "ProbesFailed", "Unreachable", "Lossy", "TooSmall",
        "Overflowing", "TrafficDropped", "SourceHidden", "TableNearlyFull", *(fault.value for fault in CloudFault),
    }  # fmt: skip
    written |= {reason.value for reason in OffloadReason}
    assert written == {case[3] for case in CASES}
    assert {case[0] for case in CASES} == set(ConditionType)


def test_all_conditions_are_judged_once_each_and_healthy_when_all_is_well() -> None:
    judged = judge(WELL, NOW)
    assert sorted(condition.type.value for condition in judged) == sorted(
        kind.value for kind in ConditionType
    )
    assert all(condition.healthy for condition in judged)


@pytest.mark.parametrize(
    ("code", "cure"),
    [(errno.EPERM, "CAP_NET_ADMIN"), (errno.EOPNOTSUPP, "module vxlan"), (errno.ENOMEM, "tried again")],
)
def test_refusal_of_the_device_comes_with_its_cure(code: int, cure: str) -> None:
    assert cure in _judged(last(failures=(refused(link(), code),)), C.BACKEND_READY).cure


@pytest.mark.parametrize(
    ("code", "cure"),
    [(errno.EPERM, "CAP_NET_ADMIN"), (errno.EOPNOTSUPP, "tried again"), (errno.ENOMEM, "tried again")],
)
def test_refusal_of_a_route_comes_with_its_cure(code: int, cure: str) -> None:
    assert cure in _judged(last(failures=(refused(ROUTE, code),)), C.PEERS_PROGRAMMED).cure


@pytest.mark.parametrize("cause", KernelCause)
def test_each_cause_of_a_packet_filters_trouble_has_a_cure_of_its_own(cause: KernelCause) -> None:
    def cure(of: KernelCause) -> str:
        error = KernelError("worded in any way", cause=of)
        failed = _judged(last(world=FILTERED, failures=(OpFailure(Put(CHAIN), error),)), C.FIREWALL_READY)
        unread = replace(FILTERED, filter=FilterFacts(problem="worded in any way", cause=of))
        assert _judged(last(world=unread), C.FIREWALL_READY).cure == failed.cure
        return failed.cure

    assert cure(cause) not in {cure(other) for other in KernelCause if other is not cause}


# since


def _since(inputs: Inputs, before: tuple[Condition, ...], kind: ConditionType, now: float) -> float:
    return next(condition.since for condition in judge(inputs, now, before) if condition.type is kind)


def test_since_is_kept_while_status_and_reason_stay_and_moves_with_either() -> None:
    first = judge(WELL, NOW)
    later = judge(replace(WELL, last=passed(world(V4, lease(1)))), NOW + 5, first)
    peers = next(condition for condition in later if condition.type is C.PEERS_PROGRAMMED)
    assert (peers.message, peers.since) == ("1 peer", NOW)
    reserved = own(lease=lease(0, reserved=True), expires_at=None)
    assert _since(reserved, later, C.LEASE_VALID, NOW + 6) == NOW + 6  # another reason for True
    expired = own(expires_at=NOW)
    bad = judge(expired, NOW + 7, later)
    assert _since(expired, bad, C.LEASE_VALID, NOW + 8) == NOW + 7
    assert _since(WELL, bad, C.LEASE_VALID, NOW + 9) == NOW + 9


def test_since_of_one_condition_does_not_move_with_another() -> None:
    first = judge(WELL, NOW)
    assert _since(own(conflict="x"), first, C.LEASE_VALID, NOW + 1) == NOW


# Readiness and phase

PHASES = [
    (BLANK, Phase.STARTING),
    (replace(BLANK, store=StoreStatus(contacted=True, stale=False)), Phase.LISTING),
    (replace(BLANK, store=StoreStatus(contacted=True, stale=False), network=V4), Phase.ACQUIRING),
    (replace(WELL, last=None, subnet_file=""), Phase.SYNCING),
    (last(desired=None), Phase.SYNCING),
    (WELL, Phase.READY),
    (own(conflict="x"), Phase.DEGRADED),
    (replace(WELL, store=StoreStatus(contacted=True)), Phase.DEGRADED),
    (last(failures=(refused(link()),)), Phase.DEGRADED),
    (own(lease=None, drained=True), Phase.DRAINED),
    (replace(WELL, stopping=True), Phase.STOPPING),
    (replace(BLANK, stopping=True), Phase.STOPPING),
]


@pytest.mark.parametrize(("inputs", "phase"), PHASES, ids=[phase.value for _, phase in PHASES])
def test_phase_follows_from_the_first_thing_that_is_missing(inputs: Inputs, phase: Phase) -> None:
    assert phase_of(judge(inputs, NOW), inputs) is phase


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case[0].value}-{case[3]}-{n}" for n, case in enumerate(CASES)]
)
def test_ready_is_lost_with_each_condition_it_needs_and_with_no_other(
    case: tuple[ConditionType, Inputs, Status, str, bool, str],
) -> None:
    judged = judge(case[1], NOW)
    bad = {condition.type for condition in judged if not condition.healthy}
    assert is_ready(judged) is bad.isdisjoint(NEEDED_TO_BE_READY)


def test_ready_is_false_when_a_needed_condition_was_not_judged_at_all() -> None:
    judged = judge(WELL, NOW)
    for kind in NEEDED_TO_BE_READY:
        assert not is_ready([condition for condition in judged if condition.type is not kind])


MAY_BE_UNKNOWN = {
    C.NETWORKS_READY,
    C.DOCKER_CONSISTENT,
    C.FIREWALL_READY,
    C.PEERS_REACHABLE,
    C.MTU_CONSISTENT,
    C.NEIGHBOURS_FIT,
    C.SUBNETS_AVAILABLE,
    C.HOST_TUNED,
    C.CHECKSUM_OFFLOAD,
    C.ENCRYPTED,
}
"""The overlay can do without Docker and without having been measured: not knowing of that is no trouble."""

_INPUTS = st.builds(
    Inputs,
    network=st.sampled_from([None, V4]),
    network_error=st.sampled_from(["", "bad"]),
    pending_settings=st.sampled_from(["", "iface"]),
    own=st.builds(
        OwnStatus,
        lease=st.sampled_from([None, OWN]),
        source=st.sampled_from(OwnSource),
        expires_at=st.sampled_from([None, NOW - 1, NOW + 1]),
        conflict=st.sampled_from(["", "x"]),
        yielded=st.booleans(),
    ),
    store=st.builds(
        StoreStatus, contacted=st.booleans(), stale=st.booleans(), error=st.sampled_from(["", "x"])
    ),
    subnet_file=st.sampled_from(["", "written"]),
    subnet_file_error=st.sampled_from(["", "full"]),
    listeners_error=st.sampled_from(["", "busy"]),
    last=st.sampled_from([None, passed(), last(desired=None).last, last(failures=(refused(link()),)).last]),
    stopping=st.booleans(),
)


@given(_INPUTS)
def test_phase_readiness_and_conditions_never_disagree(inputs: Inputs) -> None:
    judged = judge(inputs, NOW)
    ready, phase = is_ready(judged), phase_of(judged, inputs)
    well = all(condition.healthy for condition in judged)
    assert phase is not Phase.READY or (ready and well)
    assert not (ready and well) or phase in {Phase.READY, Phase.STOPPING}
    assert phase not in {Phase.STARTING, Phase.LISTING, Phase.ACQUIRING, Phase.SYNCING} or not ready
    for condition in judged:
        may_be_unknown = condition.type in MAY_BE_UNKNOWN
        assert may_be_unknown or condition.status is not Status.UNKNOWN or not condition.healthy
        assert condition.since == NOW


def test_network_is_needed_only_through_the_backend() -> None:
    """A new config that cannot be read leaves the old one in force, and the host ready."""
    inputs = replace(WELL, network_error="no Network")
    assert is_ready(judge(inputs, NOW))
    assert phase_of(judge(inputs, NOW), inputs) is Phase.DEGRADED
