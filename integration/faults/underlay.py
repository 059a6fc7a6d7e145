"""Owns what is wrong between hosts: P06 and P19, and on the way to etcd: P23 and P24."""

from __future__ import annotations

from collections.abc import Iterator

from integration.faults.problem import Stage, Struck
from integration.hosts.host import Host

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


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a connection of HTTP/2 begins with (RFC 9113, 3.4), and gRPC's therefore."""


def watch_is_cut_off(stage: Stage) -> Iterator[Struck]:
    """P23: something on the way to etcd speaks HTTP/1 only: who asks for its health is answered, no watch is."""
    host, member = stage.hosts[0], stage.etcd.members[0]
    ports = _ports_to(host, member.address)
    # Its payload follows a header of 20 bytes, or of 32 with timestamps.
    begins = [f"tcp dport {ETCD_PORT} @th,{8 * size},32 0x50524920" for size in (20, 32)]
    rules = [*begins, f"tcp dport {ETCD_PORT} tcp sport {{ {', '.join(ports)} }}"] if ports else begins
    body = "; ".join(f"{rule} reject with tcp reset" for rule in rules)
    chain = f"chain out {{ type filter hook output priority 0; {body}; }};"
    host.run("nft", "-f", "-", stdin=f"table inet http1_only {{ {chain} }}\n")
    try:
        yield Struck(host, ("watch",), lambda: not _is_greeted(host, member.address))
    finally:
        host.run("nft", "delete", "table", "inet", "http1_only", check=False)


def _ports_to(host: Host, address: str) -> list[str]:
    """Our ends of the connections there are."""
    listed = host.run("ss", "-Htn", "dst", f"{address}:{ETCD_PORT}").stdout
    return [line.split()[3].rpartition(":")[2] for line in listed.splitlines()]


def _is_greeted(host: Host, address: str) -> bool:
    """Whether etcd answers the beginning of HTTP/2 there."""
    greeting = _PREFACE.decode().replace("\r", "\\r").replace("\n", "\\n")
    line = f"exec 3<>/dev/tcp/{address}/{ETCD_PORT}; printf '{greeting}' >&3; timeout 1 head -c 1 <&3 | wc -c"
    return host.run("bash", "-c", line, check=False).stdout.strip() == "1"
