"""Owns the shape of a lab as plain values: who sits where with which address, and the `ip` lines that build it.

Pure: it runs nothing. Each segment is one bridge in the switch namespace and one /16; with more than one segment a
router namespace stands at .0.1 of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SWITCH = "sw"
ROUTER = "rt"
PREFIX_LEN = 16
_SEATS_PER_ROW = 250


@dataclass(frozen=True, slots=True)
class Seat:
    """One NIC of one namespace on one segment. `port` is the switch's end of the cable."""

    namespace: str
    port: str
    segment: int
    address: str
    address6: str
    nic: str = "eth0"
    mtu: int = 1500

    @property
    def bridge(self) -> str:
        """The segment's bridge in the switch namespace."""
        return bridge_of(self.segment)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole lab. Names are full namespace names."""

    prefix: str
    etcd: tuple[Seat, ...]
    hosts: tuple[Seat, ...]
    router: tuple[Seat, ...]
    segments: int

    @property
    def switch(self) -> str:
        """The switch namespace."""
        return self.prefix + SWITCH

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Every cable there is."""
        return self.etcd + self.router + self.hosts

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace, each once, the switch first."""
        return tuple(dict.fromkeys([self.switch, *(seat.namespace for seat in self.seats)]))


def bridge_of(segment: int) -> str:
    """The bridge that is a segment; segments count from 1."""
    return f"br{segment}"


def address_on(segment: int, row: int, place: int) -> str:
    """An address on a segment: segment 1 is 10.99.0.0/16, segment 2 is 10.98.0.0/16 and so on."""
    return f"10.{100 - segment}.{row}.{place}"


def _address6_on(segment: int, row: int, place: int) -> str:
    return f"fd99:{segment}::{row}:{place}"


def gateway_of(segment: int) -> str:
    """Return the address of a segment's router, if there is one."""
    return address_on(segment, 0, 1)


def seat_host(prefix: str, number: int, *, segment: int, mtu: int, nic: str = "eth0") -> Seat:
    """Host `number` (from 1) on a segment: h3 is 10.99.1.3."""
    row, place = 1 + (number - 1) // _SEATS_PER_ROW, 1 + (number - 1) % _SEATS_PER_ROW
    port = f"h{number}" if nic == "eth0" else f"h{number}.{nic}"
    return Seat(
        namespace=f"{prefix}h{number}",
        port=port,
        segment=segment,
        address=address_on(segment, row, place),
        address6=_address6_on(segment, row, place),
        nic=nic,
        mtu=mtu,
    )


def plan_lab(prefix: str, *, hosts: int, etcd_members: int, segments: int, mtu: int) -> Plan:
    """Hosts are dealt to the segments in blocks; etcd sits on segment 1."""
    per_segment = -(-hosts // segments) if hosts else 1
    return Plan(
        prefix=prefix,
        etcd=tuple(
            _service_seat(f"{prefix}e{n}", f"e{n}", 1, n + 1, mtu) for n in range(1, etcd_members + 1)
        ),
        hosts=tuple(
            seat_host(prefix, n, segment=1 + (n - 1) // per_segment, mtu=mtu) for n in range(1, hosts + 1)
        ),
        router=tuple(_router_seats(prefix, segments, mtu)),
        segments=segments,
    )


def _router_seats(prefix: str, segments: int, mtu: int) -> Iterator[Seat]:
    if segments < 2:
        return
    for segment in range(1, segments + 1):
        seat = _service_seat(prefix + ROUTER, f"rt{segment}", segment, 1, mtu)
        yield Seat(
            seat.namespace, seat.port, segment, seat.address, seat.address6, nic=f"eth{segment - 1}", mtu=mtu
        )


def _service_seat(namespace: str, port: str, segment: int, place: int, mtu: int) -> Seat:
    return Seat(
        namespace=namespace,
        port=port,
        segment=segment,
        address=address_on(segment, 0, place),
        address6=_address6_on(segment, 0, place),
        mtu=mtu,
    )


def namespace_lines(plan: Plan) -> list[str]:
    """For one batch outside: all namespaces, then all cables, both ends born where they belong."""
    return [f"netns add {name}" for name in plan.namespaces] + [
        cable_line(plan.switch, seat) for seat in plan.seats
    ]


def cable_line(switch: str, seat: Seat) -> str:
    """The veth pair of a seat; neither end ever appears in the namespace of the caller."""
    return f"link add {seat.nic} netns {seat.namespace} mtu {seat.mtu} type veth peer name {seat.port} netns {switch}"


def switch_lines(plan: Plan) -> list[str]:
    """For a batch in the switch namespace. Ports get the largest MTU, so only the hosts' own MTU counts."""
    bridges = [f"link add {bridge_of(n)} type bridge forward_delay 0" for n in range(1, plan.segments + 1)]
    ups = [f"link set {bridge_of(n)} up" for n in range(1, plan.segments + 1)]
    return [*bridges, *(line for seat in plan.seats for line in port_lines(seat)), *ups]


def port_lines(seat: Seat) -> list[str]:
    """Plug the switch's end of a cable into its segment."""
    return [f"link set {seat.port} mtu 65535 master {seat.bridge} up"]


def seat_lines(seats: Iterable[Seat], *, routes: bool = True, ipv6: bool = False) -> list[str]:
    """For a batch in the namespace that sits there: loopback, NICs, addresses, and a default route by eth0."""
    lines = ["link set lo up"]
    for seat in seats:
        lines += [f"addr add {seat.address}/{PREFIX_LEN} dev {seat.nic}"]
        if ipv6:
            lines += [f"addr add {seat.address6}/64 dev {seat.nic} nodad"]
        lines += [f"link set {seat.nic} up"]
        if routes and seat.nic == "eth0":
            lines += [f"route add default via {gateway_of(seat.segment)} dev eth0"]
    return lines
