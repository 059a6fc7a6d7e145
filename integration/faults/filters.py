"""Owns what is wrong with a host itself: its sysctls, its packet filter, its routes, its daemon, its files.

P01, P02, P03, P04, P05, P08, P10, P30, P31, P32.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.faults.links import DEVICE, healing
from integration.faults.problem import NETWORK, Stage, Struck
from integration.hosts.host import Host
from integration.net import namespaces
from integration.net.namespaces import LabError, set_sysctls, sysctl

FORWARD = "net/ipv4/ip_forward"
_NOBODY = "10.99.200.1"
"""On the underlay's segment, and no host's."""


def _unheard(stage: Stage) -> bool:
    """Whether the second host's container gets nothing from the first one's."""
    mine, theirs = (host.containers[0] for host in stage.hosts[:2])
    return not theirs.ping(mine, wait=0.5).ok


@contextmanager
def _nft_table(host: Host, table: str, body: str) -> Iterator[None]:
    host.run("nft", "-f", "-", stdin=f"table {table} {{ {body} }}\n")
    try:
        yield
    finally:
        host.run("nft", "delete", "table", *table.split(), check=False)  # a flush may have taken it away


def engine_drops(stage: Stage) -> Iterator[Struck]:
    """P01: what Docker 29 with nftables puts for each container: only its own bridge may reach it."""
    host = stage.hosts[0]
    address = host.containers[0].address
    rule = f'ip daddr {address} iifname != "docker0" counter drop comment "DROP DIRECT ACCESS"'
    chain = f"chain raw-PREROUTING {{ type filter hook prerouting priority raw; policy accept; {rule}; }};"
    with _nft_table(host, "ip docker-bridges", chain):
        yield Struck(host, ("docker",), lambda: _unheard(stage))


def filter_drops(stage: Stage) -> Iterator[Struck]:
    """P02: a firewall of the host's own that forwards nothing."""
    host = stage.hosts[0]
    chain = "chain forward { type filter hook forward priority 10; policy drop; };"
    with _nft_table(host, "inet guard", chain):
        yield Struck(host, ("guard",), lambda: _unheard(stage))


def _lacks_rules(host: Host) -> bool:
    return "FLANPY" not in host.run("nft", "list", "ruleset").stdout


def rules_vanish(stage: Stage) -> Iterator[Struck]:
    """P03: a firewall is reloaded, and all rules of others are gone."""
    host = stage.hosts[0]
    struck = Struck(host, ("FLANPY",), lambda: _lacks_rules(host))
    with healing(struck, lambda: host.run("nft", "flush", "ruleset")):
        yield struck


@contextmanager
def _healing_sysctl(host: Host, key: str, value: str) -> Iterator[Struck]:
    struck = Struck(host, (key.rpartition("/")[2],), lambda: sysctl(host.namespace, key) == value)
    with healing(struck, lambda: set_sysctls(host.namespace, {key: value})):
        yield struck


def forwarding_is_off(stage: Stage) -> Iterator[Struck]:
    """P04: somebody resets ip_forward."""
    with _healing_sysctl(stage.hosts[0], FORWARD, "0") as struck:
        yield struck


def reverse_path_is_strict(stage: Stage) -> Iterator[Struck]:
    """P05: a hardening script makes every link strict, the overlay's too."""
    with _healing_sysctl(stage.hosts[0], f"net/ipv4/conf/{DEVICE}/rp_filter", "1") as struck:
        yield struck


def source_is_hidden(stage: Stage) -> Iterator[Struck]:
    """P08: somebody masquerades whatever comes from the overlay."""
    host, peer = stage.hosts[:2]
    rule = f"ip saddr {NETWORK} oifname != docker0 counter masquerade"
    chain = f"chain out {{ type nat hook postrouting priority 90; {rule}; }};"

    def is_broken() -> bool:
        """The rule counts what it rewrites."""
        host.containers[0].ping(peer.containers[0], wait=0.5)
        listed = host.run("nft", "list", "table", "ip", "hider", check=False).stdout
        return "hider" in listed and "packets 0" not in listed

    with _nft_table(host, "ip hider", chain):
        yield Struck(host, ("hider",), is_broken)


def rules_are_refused(stage: Stage) -> Iterator[Struck]:
    """P10: a table that iptables cannot read stands in its place, so its rules cannot be put."""
    host = stage.hosts[0]
    tables = ("filter", "nat")
    text = "flush ruleset\n" + "".join(
        f"table ip {table} {{ chain {chain} {{ type filter hook {hook} priority 77; }}; }}\n"
        for table, chain, hook in (("filter", "FORWARD", "forward"), ("nat", "POSTROUTING", "postrouting"))
    )
    host.run("nft", "-f", "-", stdin=text)
    try:
        yield Struck(host, ("iptables",), lambda: _is_unreadable(host))
    finally:
        for table in tables:
            host.run("nft", "delete", "table", "ip", table, check=False)


def _is_unreadable(host: Host) -> bool:
    """It says so and exits with 0."""
    done = host.run("iptables", "-S", check=False)
    return "incompatible" in done.stdout + done.stderr


def file_is_wrong(stage: Stage) -> Iterator[Struck]:
    """P30: subnet.env cannot be written, for something else stands there; Docker would start with nothing."""
    host = stage.hosts[0]
    path = host.daemon.subnet_path
    before = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "in-the-way").touch()
    try:
        yield Struck(host, (str(path),), path.is_dir)
    finally:
        (path / "in-the-way").unlink(missing_ok=True)
        path.rmdir()
        path.write_bytes(before)


def _daemon(host: Host) -> int:
    """The pid of the daemon; of a lab left up it is nobody's child."""
    for pid in namespaces.pids_in([host.namespace]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"/flanpyd") or b"flanpy.daemon.main" in word for word in words):
            return pid
    raise LabError(f"{host.name}: no flanpyd runs there")


@contextmanager
def frozen(host: Host) -> Iterator[None]:
    """The daemon stands still."""
    pid = _daemon(host)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def daemon_is_silent(stage: Stage) -> Iterator[Struck]:
    """P31: the daemon hangs, and nobody knows how the overlay is."""
    host = stage.hosts[0]
    with frozen(host):
        yield Struck(host, ("flanpyd",), lambda: not host.daemon.answers("/healthz"))


def route_overlaps(stage: Stage) -> Iterator[Struck]:
    """P32: a VPN brings a route to half of a peer's subnet."""
    host, peer = stage.hosts[:2]
    half = str(next(peer.subnet_file.subnet.network.subnets()))
    host.ip(f"route add {half} via {_NOBODY} dev {host.seat.nic}")
    try:
        yield Struck(host, (half,), lambda: half in host.routes() and _unheard_there(stage))
    finally:
        host.ip(f"route del {half}")


def _unheard_there(stage: Stage) -> bool:
    mine, theirs = (host.containers[0] for host in stage.hosts[:2])
    return not mine.ping(theirs, wait=0.5).ok
