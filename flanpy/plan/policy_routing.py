"""The routing rules that lead packets of the overlay elsewhere, before the main table with our routes is asked. Pure.

A VPN puts its routes into a table of its own, and a rule before main: `5270: from all lookup 52`. Any route there that
covers a peer's subnet, be it a default route, then goes before ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flanpy.model.address import IPNetwork, is_within
from flanpy.model.objects import MAIN_TABLE
from flanpy.model.rules import HostRule, TableRoute
from flanpy.model.world import World
from flanpy.plan.host_settings import bridges


@dataclass(frozen=True, slots=True)
class Astray:
    """Packets to a part of `subnet` follow `rule`, to `route` of its table; None if the rule ends them."""

    subnet: IPNetwork
    rule: HostRule
    route: TableRoute | None

    def __str__(self) -> str:
        where = f": {self.route}" if self.route is not None else ""
        return f"packets to {self.subnet} follow rule {self.rule}{where}"

    def cure(self, network: IPNetwork) -> str:
        """Return the command by which the routes in main go first to all of `network`."""
        family = "-6 " if self.rule.version == 6 else ""
        return f"ip {family}rule add pref {max(1, self.rule.priority - 1)} to {network} lookup main"


@dataclass(frozen=True, slots=True)
class _Host:
    """The own side: networks that packets come from, links that they come in by, and those that are right to go by."""

    sources: tuple[IPNetwork, ...]
    incoming: frozenset[str]
    ours: frozenset[str]


def led_astray(world: World, subnets: Iterable[IPNetwork], ours: frozenset[str]) -> Iterator[Astray]:
    """Return those of these subnets to which a rule leads packets elsewhere; `ours` are the links that we make."""
    if not world.facts.rules:
        return
    sources = () if world.own is None else world.own.key.subnets
    inside = bridges(world)
    host = _Host(sources, inside | ours | {"lo"}, inside | ours)
    for subnet in subnets:
        found = _astray(subnet, world.facts.rules, host)
        if found is not None:
            yield found


def _astray(subnet: IPNetwork, rules: tuple[HostRule, ...], host: _Host) -> Astray | None:
    for rule in rules:
        reach = _reach(rule, subnet)
        if reach is None or not _meets(rule, host):
            continue
        if rule.drops:
            return Astray(subnet, rule, None)
        wide, parts = _ways(rule, reach)
        for route in (wide, *parts):
            if route is not None and route.link not in host.ours:
                return Astray(subnet, rule, route)
        everything = rule.source is None and not rule.link and reach == subnet
        if everything and (wide is not None or _asks_main(rule, subnet)):
            return None  # our way: no later rule is asked
    return None


def _reach(rule: HostRule, subnet: IPNetwork) -> IPNetwork | None:
    """Return the part of the subnet that the rule is for; None if it is for none."""
    if rule.version != subnet.version:
        return None
    if rule.to is None or is_within(subnet, rule.to):
        return subnet
    return rule.to if is_within(rule.to, subnet) else None


def _meets(rule: HostRule, host: _Host) -> bool:
    """Report whether packets of this host or of its containers meet the rule."""
    if rule.link and rule.link not in host.incoming:
        return False
    return rule.source is None or any(rule.source.overlaps(one) for one in host.sources)


def _asks_main(rule: HostRule, subnet: IPNetwork) -> bool:
    """Report whether the rule leads to our own route, which is as long as the subnet."""
    return rule.table == MAIN_TABLE and rule.suppress < subnet.prefixlen


def _ways(rule: HostRule, reach: IPNetwork) -> tuple[TableRoute | None, list[TableRoute]]:
    """Return the table's route for `reach`, and those for parts of it; no throws, which ask the next rule."""
    routes: dict[IPNetwork, TableRoute] = {}
    for one in rule.routes:
        if one.destination.prefixlen > rule.suppress:
            routes.setdefault(one.destination, one)  # the kernel tells the one with the lowest metric first
    covering = [one for one in routes if is_within(reach, one)]
    wide = routes[max(covering, key=lambda one: one.prefixlen)] if covering else None
    parts = [route for one, route in routes.items() if route.kind != "throw" and is_within(one, reach)]
    return wide if wide is not None and wide.kind != "throw" else None, parts
