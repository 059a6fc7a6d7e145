"""The known problems, P01 and on: one id, one meaning, one page each. Owns the list; what finds them is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flanpy.model.condition import ConditionType
from flanpy.model.reach import Trouble

DOCS: Final = "https://example.org/flanpy/docs"


@dataclass(frozen=True, slots=True)
class Known:
    """One problem: its id forever, its meaning, how it shows, and what to do about it."""

    id: str
    meaning: str
    shows: str
    cure: str

    @property
    def page(self) -> str:
        """Return the address of its page in the docs."""
        return f"{DOCS}/reference/{self.id}.html"


_ALL: Final = (
    Known(
        "P01",
        "Docker drops overlay packets",
        "Containers of one host reach the other hosts, not their containers. Docker 28 and later drop what does not "
        "come in by the container's own bridge.",
        "flanpyd keeps accept rules in front of Docker's. Where they cannot stand, the finding names Docker's version.",
    ),
    Known(
        "P02",
        "a packet filter drops what the overlay carries",
        "One direction works, or none: the policy of FORWARD is DROP, or a firewall forwards nothing.",
        "`flanpyctl trace` names the rule. Accept the overlay's range in both directions; see the firewalls how-to.",
    ),
    Known(
        "P03",
        "somebody removes our packet filter rules",
        "It worked until a firewall was loaded again; `flanpyctl events` has the repairs.",
        "flanpyd puts the rules back within a second. Reload the firewall without flushing tables of others.",
    ),
    Known(
        "P04",
        "the host does not forward",
        "`net.ipv4.ip_forward` is 0, or the switch of one link is.",
        "flanpyd switches it on again. Find what resets it: `grep -r forward /etc/sysctl.conf /etc/sysctl.d`.",
    ),
    Known(
        "P05",
        "strict reverse-path filters drop what peers send",
        "Packets arrive on the device and vanish; `rp_filter` is 1.",
        "Set `net.ipv4.conf.LINK.rp_filter=2`; `flanpyctl doctor --fix` offers it.",
    ),
    Known(
        "P06",
        "the overlay's port is blocked between two hosts",
        "The hosts reach each other, their containers do not.",
        "Let the port (UDP 8472, or Backend.Port) pass in both directions: on both hosts, and on what is between them.",
    ),
    Known(
        "P07",
        "the network card gets checksums of the overlay wrong",
        "Pings work, TCP stalls; `ChecksumOffload` names card and peers.",
        "`vxlan-tx-checksum auto` switches the offload off where peers measured it.",
    ),
    Known(
        "P08",
        "a rule hides the sources of overlay packets",
        "A container sees the other host's address in place of the other container's.",
        "Exempt the overlay's range from the masquerading rule that the finding names.",
    ),
    Known(
        "P09",
        "masquerading gives two connections one port",
        "Now and then DNS takes five seconds.",
        "Let masquerading take random ports (`--random-fully`), as flanpyd's own rule does.",
    ),
    Known(
        "P10",
        "the packet filter rules cannot be set up",
        "`FirewallReady` is False, with what nft or iptables said.",
        "Put right what it says; flanpyd tries again by itself.",
    ),
    Known(
        "P11",
        "the overlay's device is missing",
        "The device is gone or down. flanpyd makes it again within a second.",
        "If it goes again and again, find who deletes it: NetworkManager, networkd, a script.",
    ),
    Known(
        "P12",
        "the overlay's device has another MAC than its lease says",
        "Peers send to a MAC that nobody has; udev or networkd changed it.",
        "flanpyd puts it back. Keep the shipped `.link` file, which tells udev to leave it.",
    ),
    Known(
        "P13",
        "routes of the overlay are missing, or another's stand in their place",
        "Repairs in `events`, again and again; or an object of another program on the key of one of ours.",
        "Tell networkd or NetworkManager to leave the device; remove the foreign route with the finding's command.",
    ),
    Known(
        "P14",
        "entries of a peer are missing or wrong",
        "One peer is dead, after an address was used again, or somebody altered neighbours and FDB.",
        "flanpyd puts them right. What the kernel refuses is in the finding.",
    ),
    Known(
        "P15",
        "deletions wait until they are sure",
        "Routes to hosts that left, while etcd is not listed yet.",
        "Nothing, once etcd answers. Nothing is deleted on half a view.",
    ),
    Known(
        "P16",
        "something in etcd cannot be used",
        "A lease or the network config is nonsense, or not allowed here. It is named, and ignored; the rest works.",
        "Correct it: `flanpyctl network set`, `flanpyctl subnets release`.",
    ),
    Known(
        "P17",
        "the daemon's restart disturbs traffic",
        "Connections break when flanpyd restarts. It adopts what matches, so that none should.",
        "Send `flanpyctl diag`: it is a defect.",
    ),
    Known(
        "P18",
        "the backend has no way to a peer",
        "host-gw, and a router in between: that peer has no route, and is named.",
        "Put the hosts on one link, or use vxlan (with DirectRouting where they share one).",
    ),
    Known(
        "P19",
        "packets are larger than the way carries",
        "Small packets pass, large ones vanish.",
        "Let ICMP pass, lower the MTU, or start containers again that took the larger one.",
    ),
    Known(
        "P20",
        "the kernel's neighbour table is too small",
        "`Neighbour table overflow` in the kernel's log.",
        "Raise `net.ipv4.neigh.default.gc_thresh3`; `flanpyctl doctor --fix` offers it.",
    ),
    Known(
        "P21",
        "the wrong link, no link, or an address that two hosts have",
        "No peer is reached, or one comes and goes.",
        "Bring the link up, or name it with `--iface`; give each host an address of its own.",
    ),
    Known(
        "P22",
        "IPv6 of the overlay cannot be had",
        "IPv4 works, IPv6 does not: it is off on a link, or the underlay's packets are too small for it.",
        "Switch IPv6 on, or raise the underlay's MTU to what the finding says.",
    ),
    Known(
        "P23",
        "the watch on etcd is lost, though etcd answers",
        "This host learns of others late. etcd's history was compacted, or a proxy breaks long connections.",
        "flanpyd lists again by itself. Look at what stands between the host and etcd.",
    ),
    Known(
        "P24",
        "etcd does not answer, or not soon",
        "`DatastoreReachable` is False. Packets flow on; nobody joins. Or the list of hosts cannot be used.",
        "Bring etcd back; see its own log, and the endpoints in `flanpyctl config show`. Mend a list where it stands.",
    ),
    Known(
        "P25",
        "this host has no valid lease",
        "It was drained, its lease ran out, or it cannot be renewed or saved.",
        "`flanpyctl drain --undo` after a drain; else the finding says what keeps it from renewing.",
    ),
    Known(
        "P26",
        "two hosts claim one subnet",
        "`LeaseConflict`; or clocks differ so that one may think the other gone.",
        "Give one of the hosts an identity of its own: cloned machines have one machine-id.",
    ),
    Known(
        "P27",
        "the lease has another address than this host",
        "Peers send to an address that this host had before.",
        "flanpyd updates the lease. Behind address translation set `--public-ip`.",
    ),
    Known(
        "P28",
        "the network has no free subnet",
        "`SubnetsAvailable` is False; a new host waits.",
        "Release leases of hosts that are gone (`flanpyctl subnets`), or make the network larger.",
    ),
    Known(
        "P29",
        "a reservation is not honoured",
        "A subnet is reserved for this host, and it holds another.",
        "Restart flanpyd when its containers may move.",
    ),
    Known(
        "P30",
        "Docker does not use this host's subnet",
        "Docker started before the overlay, or has another configuration.",
        "`flanpyctl docker plan`, then `flanpyctl docker apply`.",
    ),
    Known(
        "P31",
        "the daemon of this host cannot be asked",
        "flanpyd does not run, hangs, or cannot listen where its health is asked for. Packets flow on.",
        "`systemctl status flanpyd`, `journalctl -u flanpyd`; start it, or free the address that it wants.",
    ),
    Known(
        "P32",
        "the overlay's range is used by something else",
        "The host's own network, a route, a routing rule, a Docker network or a name server lies within it.",
        "Choose another range (`flanpyctl network set`), or move what is in it.",
    ),
    Known(
        "P33",
        "the cloud provider has no route to this host",
        "`CloudRoutes` has the provider's words: permission, quota, the wrong table.",
        "`flanpyctl doctor` prints the policy or role that is missing.",
    ),
    Known(
        "P34",
        "etcd is out of date",
        "A user with a right to one prefix reads and writes every key, or the line of etcd gets no fixes any more.",
        "Upgrade etcd to 3.5.33, 3.6.14 or 3.7.1, or a later one of these lines; `flanpyctl status` names its version.",
    ),
    Known(
        "P35",
        "settings wait for a restart",
        "The daemon runs with other settings than its file and options say.",
        "`flanpyctl reload`; what it names needs a restart of flanpyd, which disturbs no traffic.",
    ),
    Known(
        "P36",
        "a peer's host is down",
        "A host does not answer on the underlay either, and other hosts do.",
        "Start that host; if it is gone for good, `flanpyctl subnets release`.",
    ),
    Known(
        "P37",
        "something is lost, and nothing explains it",
        "A peer answers not at all, or not always, though all that is looked at is well.",
        "`flanpyctl trace PEER` here and there, then look at the network between both hosts.",
    ),
    Known(
        "P38",
        "a lease would take a way that this host needs",
        "Its subnet holds an address of etcd, a gateway or the underlay, or etcd fell silent with it. It is left out.",
        "`flanpyctl subnets release`; if it is meant, lay subnets apart from hosts, or set `allowed-network`.",
    ),
    Known(
        "P39",
        "containers are not found by name",
        "The resolver does not listen, or nobody tells flanpyd what Docker's containers are called.",
        "`flanpyctl status` has the reason of `NamesServed`; `systemctl enable --now flanpy-docker-names.service`.",
    ),
    Known(
        "P40",
        "a named network does not work on this host",
        "It overlaps what the host uses, has no free slice, is not in Docker, or is wider than the underlay."
        " Or a link in its bridge does not belong there.",
        "`NetworksReady` or doctor says which; `flanpyctl docker networks` makes in Docker what is missing.",
    ),
    Known(
        "P41",
        "two containers of a named network have one address",
        "Docker on each host took the same `--ip` or `--mac-address`; both containers lose packets to each other.",
        "Remove one of the two that `AddressesUnique` names, and run it with another address, or without one.",
    ),
    Known(
        "P42",
        "a peer has no WireGuard session",
        "This host sends, and the peer answers no handshake, or from another address than its lease says.",
        "Open the UDP port that `Encrypted` names, both ways; `flanpyctl peers -o wide` has keys and endpoints.",
    ),
    Known(
        "P43",
        "this host's WireGuard key cannot be used",
        "The file `wgkey` in the state directory is no key, or others may read or could have written it.",
        "Correct it, `chmod 0600`; or move it away: flanpyd makes a new key within seconds, and peers learn it.",
    ),
    Known(
        "P44",
        "the clock was set back under WireGuard",
        "Peers refuse a handshake that is older than the last one of this host: sessions end one by one.",
        "Set the clock right; `flanpyctl peers -o wide` has the last handshakes.",
    ),
)

UNKNOWN: Final = "P37"
"""Nothing explains it."""

PROBLEMS: Final[Mapping[str, Known]] = MappingProxyType({known.id: known for known in _ALL})

_C = ConditionType
OF_CONDITION: Final[Mapping[ConditionType, str]] = MappingProxyType(
    {
        _C.DATASTORE_REACHABLE: "P24",
        _C.NETWORK_CONFIG_VALID: "P16",
        _C.LEASE_VALID: "P25",
        _C.LEASE_CONFLICT: "P26",
        _C.UNDERLAY_READY: "P21",
        _C.BACKEND_READY: "P11",
        _C.PEERS_PROGRAMMED: "P14",
        _C.PEER_LEASES_VALID: "P16",
        _C.MASS_DELETE_HELD: "P16",
        _C.FOREIGN_CONFLICT: "P32",
        _C.FORWARDING_ENABLED: "P04",
        _C.SUBNET_FILE_WRITTEN: "P30",
        _C.LEASE_SAVED: "P25",
        _C.LISTENERS_UP: "P31",
        _C.DUPLICATE_PUBLIC_IP: "P21",
        _C.RESTART_NEEDED: "P35",
        _C.DOCKER_CONSISTENT: "P30",
        _C.FIREWALL_READY: "P10",
        _C.PEERS_REACHABLE: "P37",
        _C.MTU_CONSISTENT: "P19",
        _C.NEIGHBOURS_FIT: "P20",
        _C.SUBNETS_AVAILABLE: "P28",
        _C.CLOUD_ROUTES: "P33",
        _C.NAMES_SERVED: "P39",
        _C.HOST_TUNED: "P05",
        _C.NETWORKS_READY: "P40",
        _C.ADDRESSES_UNIQUE: "P41",
        _C.ENCRYPTED: "P42",
        _C.CHECKSUM_OFFLOAD: "P07",
    }
)
"""The problem that a bad condition is, where its reason says nothing narrower."""

BY_REASON: Final[Mapping[tuple[ConditionType, str], str]] = MappingProxyType(
    {
        (_C.FOREIGN_CONFLICT, "Foreign"): "P13",
        (_C.PEERS_PROGRAMMED, "NoWay"): "P18",
        (_C.MTU_CONSISTENT, "TooNarrow"): "P22",
        (_C.BACKEND_READY, "TooNarrow"): "P22",
        (_C.BACKEND_READY, "KeyUnusable"): "P43",
        (_C.ENCRYPTED, "ClockSetBack"): "P44",
        (_C.RESTART_NEEDED, "OtherReserved"): "P29",
        (_C.PEER_LEASES_VALID, "KeptOut"): "P38",
        (_C.DOCKER_CONSISTENT, "EngineDropsUs"): "P01",
        (_C.DOCKER_CONSISTENT, "Masquerades"): "P08",
        (_C.DOCKER_CONSISTENT, "MTUDiffers"): "P19",
        (_C.DOCKER_CONSISTENT, "MTUOfContainers"): "P19",
    }
)

OF_TROUBLE: Final[Mapping[Trouble, str]] = MappingProxyType(
    {
        Trouble.PORT_BLOCKED: "P06",
        Trouble.ONE_WAY_OUT: "P06",
        Trouble.ONE_WAY_IN: "P06",
        Trouble.MTU_BLACK_HOLE: "P19",
        Trouble.WRONG_MAC: "P14",
        Trouble.FIREWALL: "P02",
        Trouble.REVERSE_PATH: "P05",
        Trouble.NO_UNDERLAY: "P21",
        Trouble.PEER_DOWN: "P36",
        Trouble.LOSS: "P37",
        Trouble.UNEXPLAINED: "P37",
        Trouble.NONE: "P37",
    }
)
"""The problem that a peer's trouble is."""


def problem_of(kind: ConditionType, reason: str, troubles: Iterable[Trouble] = ()) -> Known:
    """Return the problem that a bad condition is; `troubles` are those of the peers that are not reached."""
    if kind is ConditionType.PEERS_REACHABLE:
        named = next((OF_TROUBLE[trouble] for trouble in troubles), OF_CONDITION[kind])
        return PROBLEMS[named]
    return PROBLEMS[BY_REASON.get((kind, reason), OF_CONDITION[kind])]
