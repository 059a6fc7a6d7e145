"""The routing rules that lead packets of the overlay elsewhere, before the main table with our routes is asked. Pure.

A VPN puts its routes into a table of its own, and a rule before main: `5270: from all lookup 52`. Any route there that
covers a peer's subnet, be it a default route, then goes before ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flanpy.model.address import IPNetwork
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
    key = world.own.key if world.own is not None else None
    sources = tuple(one for one in (key.subnet, key.subnet6) if one is not None) if key is not None else ()
    inside = bridges(world)
    host = _Host(sources, inside | ours | {"lo"}, inside | ours)
    for subnet in subnets:
        found = _astray(subnet, world.facts.rules, host)
        if found is not None:
            yield found


def _astray(subnet: IPNetwork, rules: tuple[HostRule, ...], host: _Host) -> Astray | None:
    for rule in rules:
        if not _applies(rule, subnet, host):
            continue
        whole = rule.source is None and not rule.link and (rule.to is None or _is_within(subnet, rule.to))
        if rule.table == MAIN_TABLE and not rule.drops:
            if whole:
                return None
            continue
        if rule.drops:
            return Astray(subnet, rule, None)
        route = _route(rule, subnet)
        if route is not None and route.link not in host.ours:
            return Astray(subnet, rule, route)
    return None


def _applies(rule: HostRule, subnet: IPNetwork, host: _Host) -> bool:
    if rule.version != subnet.version or (rule.to is not None and not rule.to.overlaps(subnet)):
        return False
    if rule.link and rule.link not in host.incoming:
        return False
    from_us = (
        (one.version == rule.version and rule.source.overlaps(one) for one in host.sources)
        if rule.source
        else ()
    )
    return rule.source is None or any(from_us)


def _route(rule: HostRule, subnet: IPNetwork) -> TableRoute | None:
    """Return the table's route for the subnet or a part of it; None if the next rule is asked."""
    routes = [
        one
        for one in rule.routes
        if one.destination.version == subnet.version and one.destination.prefixlen > rule.suppress
    ]
    covering = [one for one in routes if _is_within(subnet, one.destination)]
    best = max(covering, key=lambda one: one.destination.prefixlen, default=None)
    if best is not None and best.kind != "throw":
        return best
    return next((one for one in routes if one.kind != "throw" and _is_part(one.destination, subnet)), None)


def _is_within(part: IPNetwork, whole: IPNetwork) -> bool:
    return part.version == whole.version and part.prefixlen >= whole.prefixlen and part[0] in whole


def _is_part(part: IPNetwork, whole: IPNetwork) -> bool:
    return part.prefixlen > whole.prefixlen and _is_within(part, whole)
