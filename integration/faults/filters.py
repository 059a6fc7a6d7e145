"""Faults of a host's packet filter, and of what others route or masquerade there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext
from integration.faults.objects import AGAIN, FLAPPING
from integration.hosts.host import Host
from integration.truth import foreign

_NOBODY = "10.99.200.1"
"""On the underlay's segment, and no host's."""


def _unheard(context: StrikeContext, *, there: bool = False) -> bool:
    """Report whether the other host's container gets nothing from the struck one's; `there`: the reverse direction."""
    one, other = context.host.containers[0], context.other.containers[0]
    source, target = (one, other) if there else (other, one)
    return not source.ping(target, wait=0.5).ok


@contextmanager
def _nft_table(host: Host, table: str, body: str) -> Iterator[None]:
    host.run("nft", "-f", "-", stdin=f"table {table} {{ {body} }}\n")
    try:
        yield
    finally:
        host.run("nft", "delete", "table", *table.split(), check=False)  # a flush may have taken it away


def _engine_drops(context: StrikeContext) -> Iterator[Evidence | None]:
    """Add the rule that Docker 29 with nftables adds for each container: only the container's own bridge may
    reach it."""
    host = context.host
    address = host.containers[0].address
    rule = f'ip daddr {address} iifname != "docker0" counter drop comment "DROP DIRECT ACCESS"'
    chain = f"chain raw-PREROUTING {{ type filter hook prerouting priority raw; policy accept; {rule}; }};"
    with _nft_table(host, "ip docker-bridges", chain):
        yield Evidence(host, ("docker",), lambda: _unheard(context))


def _filter_drops(context: StrikeContext) -> Iterator[Evidence | None]:
    """A firewall of the host's own forwards nothing."""
    chain = "chain forward { type filter hook forward priority 10; policy drop; };"
    with _nft_table(context.host, "inet guard", chain):
        yield Evidence(context.host, ("guard",), lambda: _unheard(context))


def _lacks_rules(host: Host) -> bool:
    return "FLANPY" not in host.run("nft", "list", "ruleset").stdout


def _iptables_flushed(context: StrikeContext) -> Iterator[Evidence | None]:
    host = context.host
    host.run("iptables", "-F")
    host.run("iptables", "-t", "nat", "-F")
    yield Evidence(host, ("FLANPY",), lambda: "-A FLANPY" not in host.run("iptables-save").stdout)


def _ruleset_flushed(context: StrikeContext) -> Iterator[Evidence | None]:
    """`nft flush ruleset`, as a firewall's reload does; what was others' comes back with that firewall."""
    host = context.host
    planted = host.run("nft", "list", "table", "inet", foreign.FILTER, check=False).returncode == 0
    host.run("nft", "flush", "ruleset")
    if planted:
        foreign.plant_filter(host)
    yield Evidence(host, ("FLANPY",), lambda: _lacks_rules(host))


def _source_hidden(context: StrikeContext) -> Iterator[Evidence | None]:
    """Somebody masquerades whatever comes from the overlay."""
    host = context.host
    rule = f"ip saddr {context.fabric.config['Network']} oifname != docker0 counter masquerade"
    chain = f"chain out {{ type nat hook postrouting priority 90; {rule}; }};"

    def is_broken() -> bool:
        """Report whether the rule has rewritten packets, by its counter."""
        host.containers[0].ping(context.other.containers[0], wait=0.5)
        listed = host.run("nft", "list", "table", "ip", "hider", check=False).stdout
        return "hider" in listed and "packets 0" not in listed

    with _nft_table(host, "ip hider", chain):
        yield Evidence(host, ("hider",), is_broken)


def _rules_refused(context: StrikeContext) -> Iterator[Evidence | None]:
    """A table that iptables cannot read stands in its place, so the daemon's rules cannot be put."""
    host = context.host
    tables = ("filter", "nat")
    text = "flush ruleset\n" + "".join(
        f"table ip {table} {{ chain {chain} {{ type filter hook {hook} priority 77; }}; }}\n"
        for table, chain, hook in (("filter", "FORWARD", "forward"), ("nat", "POSTROUTING", "postrouting"))
    )
    host.run("nft", "-f", "-", stdin=text)
    yield Evidence(host, ("iptables",), lambda: _is_unreadable(host))
    for table in tables:
        host.run("nft", "delete", "table", "ip", table, check=False)


def _is_unreadable(host: Host) -> bool:
    """Report whether the table is unreadable: iptables says so and exits with 0."""
    done = host.run("iptables", "-S", check=False)
    return "incompatible" in done.stdout + done.stderr


def _route_overlaps(context: StrikeContext) -> Iterator[Evidence | None]:
    """A VPN brings a route to half of a peer's subnet."""
    host = context.host
    half = str(next(context.other.subnet_file.subnet.network.subnets()))
    host.ip(f"route add {half} via {_NOBODY} dev {host.seat.nic}")
    yield Evidence(host, (half,), lambda: half in host.routes() and _unheard(context, there=True))
    host.run("ip", "route", "del", half, check=False)  # a NIC that went took it along


_kernel = partial(Fault, family=Family.KERNEL, part=Part.DEVICE)
_filter = partial(
    _kernel,
    condition="FirewallReady",
    alert="FlanpyFirewallNotReady",
    settle="a look through the packet filter",
)

FIRST = (
    _kernel(name="iptables_flushed", title="iptables -F", strike=_iptables_flushed, lasts=(0.1, 0.2)),
    _kernel(name="ruleset_flushed", title="a firewall reload wipes the rules", strike=_ruleset_flushed,
            lasts=(0.1, 0.2), heals=True, problem="P03", alert=FLAPPING, settle=AGAIN),
)  # fmt: skip
MORE = (
    _filter(name="engine_drops", title="Docker drops what comes from the overlay", strike=_engine_drops,
            problem="P01"),
    _filter(name="filter_drops", title="a firewall forwards nothing", strike=_filter_drops, problem="P02"),
    _filter(name="source_hidden", title="a foreign rule hides sources", strike=_source_hidden, problem="P08"),
    _kernel(name="rules_refused", title="packet filter rules are refused", strike=_rules_refused,
            problem="P10", condition="FirewallReady", alert="FlanpyFirewallNotReady",
            settle="one attempt and the condition's grace",
            dice="takes what is others' in the packet filter along"),
    _kernel(name="route_overlaps", title="a foreign route overlaps the overlay", strike=_route_overlaps,
            problem="P32", condition="ForeignConflict", alert="FlanpyForeignConflict", settle="a second"),
)  # fmt: skip
FAULTS = (*FIRST, *MORE)
