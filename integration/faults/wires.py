"""Faults of the network between hosts, and of the way to etcd: cables, lost packets, black holes, blocked ports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from integration.etcd.cluster import CLIENT_PORT
from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext
from integration.hosts import cables
from integration.hosts.host import Host

PROBED = "a few rounds of probes"
VXLAN_PORT = 8472
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a connection of HTTP/2 begins with (RFC 9113, 3.4), and gRPC's therefore."""


def _while(context: StrikeContext, cable: cables.Fault) -> Iterator[Evidence | None]:
    host, other = context.host, context.other
    with cable:
        yield Evidence(host, (host.name,), lambda: not host.ping(other, wait=0.5).ok)


def _cut(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _while(context, context.lab.faults.cut(context.host))


def _link_down(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _while(context, context.lab.faults.link_down(context.host))


def _silence(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _while(context, context.lab.faults.silence(context.host))


def _loss(context: StrikeContext) -> Iterator[Evidence | None]:
    with context.lab.faults.lose_on_host(context.host, context.choose((30, 10, 60))):
        yield None


def _black_hole(context: StrikeContext) -> Iterator[Evidence | None]:
    """Something on the way to the other host takes no packets of full size, and says so to nobody."""
    one, two = context.host, context.other

    def is_broken() -> bool:
        return one.ping(two).ok and not one.ping(two, size=1472, wait=0.5).ok

    with context.lab.faults.set_switch_mtu(two, context.choose((1400, 1000, 1280))):
        yield Evidence(one, (one.name, two.name), is_broken)


def _partition(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _while(context, context.lab.faults.partition([context.host], [context.other]))


def _one_way(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _while(context, context.lab.faults.one_way(context.host, context.other))


def _port_blocked(context: StrikeContext) -> Iterator[Evidence | None]:
    """A firewall between two hosts lets everything pass but the overlay's port."""
    one, two = context.host, context.other
    ports = f'{{ "{one.seat.port}", "{two.seat.port}" }}'

    def is_broken() -> bool:
        overlay = one.containers[0].ping(two.containers[0], wait=0.5)
        return not overlay.ok and one.ping(two).ok

    with context.lab.faults.drop_on_switch(f"iifname {ports} oifname {ports} udp dport {VXLAN_PORT}"):
        yield Evidence(one, (one.name, two.name), is_broken)


def _flapping(context: StrikeContext) -> Iterator[Evidence | None]:
    """The cable comes and goes five times, then stays."""
    for _ in range(5):
        with context.lab.faults.cut(context.host):
            context.pause(context.between(0.05, context.lasts / 10))
        context.pause(context.between(0.05, context.lasts / 10))
    yield None


def _rejected(context: StrikeContext, table: str, matches: list[str]) -> None:
    body = "; ".join(f"{match} reject with tcp reset" for match in matches)
    chain = f"chain out {{ type filter hook output priority 0; {body}; }};"
    context.host.run("nft", "-f", "-", stdin=f"table inet {table} {{ {chain} }}\n")


def _accepted(context: StrikeContext, table: str) -> None:
    context.host.run("nft", "delete", "table", "inet", table, check=False)  # a flush may have taken it away


def _etcd_refused(context: StrikeContext) -> Iterator[Evidence | None]:
    """etcd refuses calls from this host."""
    host, address = context.host, context.lab.etcd.members[0].address
    _rejected(context, "no_etcd", [f"tcp dport {CLIENT_PORT}"])

    def is_broken() -> bool:
        done = host.run("bash", "-c", f"exec 3<>/dev/tcp/{address}/{CLIENT_PORT}", check=False)
        return done.returncode != 0

    yield Evidence(host, (str(CLIENT_PORT),), is_broken)
    _accepted(context, "no_etcd")


def _watch_cut_off(context: StrikeContext) -> Iterator[Evidence | None]:
    """Something on the way to etcd speaks HTTP/1 only: who asks for its health is answered, no watch is."""
    host, member = context.host, context.lab.etcd.members[0]
    ports = _ports_to(host, member.address)
    # Its payload follows a header of 20 bytes, or of 32 with timestamps.
    begins = [f"tcp dport {CLIENT_PORT} @th,{8 * size},32 0x50524920" for size in (20, 32)]
    now = [f"tcp dport {CLIENT_PORT} tcp sport {{ {', '.join(ports)} }}"] if ports else []
    _rejected(context, "http1_only", [*begins, *now])
    yield Evidence(host, ("watch",), lambda: not _is_greeted(host, member.address))
    _accepted(context, "http1_only")


def _ports_to(host: Host, address: str) -> list[str]:
    """Return the local ports of the existing connections."""
    listed = host.run("ss", "-Htn", "dst", f"{address}:{CLIENT_PORT}").stdout
    return [line.split()[3].rpartition(":")[2] for line in listed.splitlines()]


def _is_greeted(host: Host, address: str) -> bool:
    """Report whether etcd answers the beginning of HTTP/2 at the address."""
    greeting = _PREFACE.decode().replace("\r", "\\r").replace("\n", "\\n")
    line = (
        f"exec 3<>/dev/tcp/{address}/{CLIENT_PORT}; printf '{greeting}' >&3; timeout 1 head -c 1 <&3 | wc -c"
    )
    return host.run("bash", "-c", line, check=False).stdout.strip() == "1"


_network = partial(Fault, family=Family.NETWORK, part=Part.NIC)
_away = partial(
    _network,
    lasts=(2, 8),
    breaks=False,
    condition="DatastoreReachable",
    alert="FlanpyDatastoreUnreachable",
    settle="the condition's grace",
)

FAULTS = (
    _network(name="cable_cut", title="the cable is pulled", strike=_cut, lasts=(0.5, 8)),
    _network(name="nic_down", title="the NIC is set down", strike=_link_down, lasts=(0.5, 6)),
    _network(name="host_silenced", title="nothing passes, the carrier stays", strike=_silence, lasts=(0.5, 8)),
    _network(name="packets_lost", title="packets are lost at random", strike=_loss, lasts=(2, 8)),
    _network(name="black_hole", title="large packets vanish", strike=_black_hole, lasts=(2, 8), hosts=2, breaks=False,
             problem="P19", condition="MTUConsistent", alert="FlanpyMTUBlackHole", settle=PROBED),
    _network(name="pair_parted", title="two hosts are parted", strike=_partition, hosts=2),
    _network(name="one_way", title="one direction between two hosts is lost", strike=_one_way, hosts=2),
    _network(name="port_blocked", title="the overlay's port is blocked between two hosts", strike=_port_blocked,
             hosts=2, problem="P06", condition="PeersReachable", alert="FlanpyPeersUnreachable", settle=PROBED),
    _network(name="cable_flaps", title="the cable comes and goes", strike=_flapping, lasts=(1, 6)),
    _away(name="watch_cut_off", title="etcd answers, but no watch gets through", strike=_watch_cut_off,
          problem="P23"),
    _away(name="etcd_refused", title="etcd is away", strike=_etcd_refused, problem="P24"),
)  # fmt: skip
