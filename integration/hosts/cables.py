"""Owns breaking the underlay on purpose: cables, packets, MTU and addresses.

Every fault is undone by its own `undo()`, or by leaving its `with` block; the lab's end removes them all anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from integration.hosts.host import Host
from integration.net import namespaces, topology
from integration.net.topology import PREFIX_LEN


class Fault:
    """One fault that is in force; undone once."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo: Callable[[], None] | None = undo

    def undo(self) -> None:
        """Take it back; the second time does nothing."""
        if self._undo is not None:
            undo, self._undo = self._undo, None
            undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


class Faults:
    """The faults one can inject into a lab; the switch is where cables are pulled."""

    def __init__(self, switch: str) -> None:
        self._switch = switch
        self._numbers = itertools.count(1)

    def cut(self, host: Host) -> Fault:
        """Pull the cable at the switch: the host's NIC loses its carrier.

        Traffic may come back up to a second after the cable: the kernel handles at most one carrier change a second.
        Where the outage must be exact, use silence().
        """
        port = host.seat.port
        namespaces.ip_batch(self._switch, [f"link set {port} down"])
        return Fault(lambda: namespaces.ip_batch(self._switch, [f"link set {port} up"]))

    def link_down(self, host: Host, nic: str = "eth0") -> Fault:
        """Set the host's own NIC down (its routes go with it; the default route comes back when undone)."""
        gone = [route for route in host.ip_json("-4", "route", "show", "default") if route.get("dev") == nic]
        host.ip(f"link set {nic} down")
        back = [f"route replace default via {route['gateway']} dev {nic}" for route in gone]
        return Fault(lambda: host.ip(f"link set {nic} up", *back))

    def partition(self, one_side: Iterable[Host], other_side: Iterable[Host]) -> Fault:
        """Nothing passes between the two sides, both ways; carriers stay up and etcd stays reachable."""
        ones = ", ".join(f'"{host.seat.port}"' for host in one_side)
        others = ", ".join(f'"{host.seat.port}"' for host in other_side)
        return self._bridge_rules([
            f"iifname {{ {ones} }} oifname {{ {others} }} drop",
            f"iifname {{ {others} }} oifname {{ {ones} }} drop",
        ])  # fmt: skip

    def one_way(self, source: Host, target: Host) -> Fault:
        """Drop the packets from `source` to `target`; the other direction works."""
        return self._bridge_rules([f'iifname "{source.seat.port}" oifname "{target.seat.port}" drop'])

    def silence(self, host: Host) -> Fault:
        """Nothing passes to or from the host, yet its carrier stays up."""
        return self._bridge_rules([f'iifname "{host.seat.port}" drop', f'oifname "{host.seat.port}" drop'])

    def drop_on_switch(self, match: str) -> Fault:
        """Drop what an nft expression matches on its way through the switch, e.g. `udp dport 8472`."""
        return self._bridge_rules([f"{match} drop"])

    def _bridge_rules(self, rules: Iterable[str]) -> Fault:
        return self._table(self._switch, "bridge", "forward", rules)

    def drop_on_host(self, host: Host, match: str) -> Fault:
        """Drop what an nft expression matches as it comes into the host, before anything else there sees it."""
        return self._table(host.namespace, "inet", "prerouting", [f"{match} drop"])

    def lose_on_host(self, host: Host, percent: int) -> Fault:
        """Lose so many percent of what comes in by the underlay NIC, at random."""
        return self.drop_on_host(host, f'iifname "{host.seat.nic}" numgen random mod 100 < {percent}')

    def _table(self, namespace: str, family: str, hook: str, rules: Iterable[str]) -> Fault:
        table = f"{family} lab_fault_{next(self._numbers)}"
        body = "; ".join(rules)
        text = f"table {table} {{ chain lossy {{ type filter hook {hook} priority -300; {body}; }}; }}\n"
        namespaces.run_in(namespace, ["nft", "-f", "-"], stdin=text)
        return Fault(
            lambda: _ignore(namespaces.run_in(namespace, ["nft", "delete", "table", *table.split()]))
        )

    def set_mtu(self, host: Host, mtu: int, nic: str = "eth0") -> Fault:
        """Change the underlay NIC's MTU; undone, it is what it was."""
        before = host.ip_json("link", "show", "dev", nic)[0]["mtu"]
        host.ip(f"link set {nic} mtu {mtu}")
        return Fault(lambda: host.ip(f"link set {nic} mtu {before}"))

    def set_switch_mtu(self, host: Host, mtu: int) -> Fault:
        """A black hole: the switch port takes no larger frames, and says so to nobody."""
        namespaces.ip_batch(self._switch, [f"link set {host.seat.port} mtu {mtu}"])
        return Fault(lambda: namespaces.ip_batch(self._switch, [f"link set {host.seat.port} mtu 65535"]))

    def set_address(self, host: Host, address: str, nic: str = "eth0") -> Fault:
        """Renumber the host: the new address comes before the old one goes; the default route is kept."""
        before = host.address
        self._renumber(host, nic, before, address)
        return Fault(lambda: self._renumber(host, nic, address, before))

    def _renumber(self, host: Host, nic: str, old: str, new: str) -> None:
        defaults = [
            route for route in host.ip_json("-4", "route", "show", "default") if route.get("dev") == nic
        ]
        host.ip(
            f"addr add {new}/{PREFIX_LEN} dev {nic}",
            f"addr del {old}/{PREFIX_LEN} dev {nic}",
            *(f"route replace default via {route['gateway']} dev {nic}" for route in defaults),
        )
        host.address = new

    def replug(self, host: Host) -> None:
        """Delete the host's NIC and give it a new one of the same name, cable and address (a new ifindex)."""
        self.remove_nic(host).undo()

    def remove_nic(self, host: Host) -> Fault:
        """Delete the host's NIC; undone, it has a new one of the same name, cable and addresses (a new ifindex).

        The MAC stays too, as when a driver finds its card again; else the neighbours' ARP caches would be the outage.
        """
        seat = replace(host.seat, address=host.address)
        mac = host.ip_json("link", "show", "dev", seat.nic)[0]["address"]
        host.ip(f"link del {seat.nic}")

        def put_back() -> None:
            namespaces.ip_batch(None, [topology.cable_line(self._switch, seat)])
            namespaces.ip_batch(self._switch, topology.port_lines(seat))
            host.ip(f"link set {seat.nic} address {mac}", *topology.seat_lines([seat]))

        return Fault(put_back)


def _ignore(_done: object) -> None:
    return None
