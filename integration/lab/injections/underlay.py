"""Owns what is wrong between hosts: P06 and P19, and P24, the way to etcd."""

from __future__ import annotations

from collections.abc import Iterator

from integration.lab.injections.case import Stage, Struck

VXLAN_PORT = 8472
ETCD_PORT = 2379
NARROW = 1400


def port_is_blocked(stage: Stage) -> Iterator[Struck]:
    """P06: a firewall between two hosts lets everything pass but the overlay's port."""
    one, two = stage.hosts[:2]
    ports = (one.seat.port, two.seat.port)
    pair = f"iifname {{ {ports[0]}, {ports[1]} }} oifname {{ {ports[0]}, {ports[1]} }}"

    def is_broken() -> bool:
        overlay = one.containers[0].ping(two.containers[0], wait=0.5)
        return not overlay.ok and one.ping(two).ok

    with stage.faults.drop_on_switch(f"{pair} udp dport {VXLAN_PORT}"):
        yield Struck(one, (one.name, two.name), is_broken)


def large_packets_vanish(stage: Stage) -> Iterator[Struck]:
    """P19: something on the way to a peer takes no packets of full size, and says so to nobody."""
    one, two = stage.hosts[:2]

    def is_broken() -> bool:
        return one.ping(two).ok and not one.ping(two, size=1472, wait=0.5).ok

    with stage.faults.set_switch_mtu(two, NARROW):
        yield Struck(one, (one.name, two.name), is_broken)


def etcd_is_away(stage: Stage) -> Iterator[Struck]:
    """P24: etcd refuses whoever calls from this host."""
    host = stage.hosts[0]
    rule = f"tcp dport {ETCD_PORT} reject with tcp reset"
    chain = f"chain out {{ type filter hook output priority 0; {rule}; }};"
    host.run("nft", "-f", "-", stdin=f"table inet no_etcd {{ {chain} }}\n")

    def is_broken() -> bool:
        address = stage.etcd.members[0].address
        done = host.run("bash", "-c", f"exec 3<>/dev/tcp/{address}/{ETCD_PORT}", check=False)
        return done.returncode != 0

    try:
        yield Struck(host, (str(ETCD_PORT),), is_broken)
    finally:
        host.run("nft", "delete", "table", "inet", "no_etcd", check=False)
