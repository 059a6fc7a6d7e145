"""The settings that dockerd really starts with (daemon.json and flags), and how much of ours they let it do.

Owns the few keys of others that decide about our own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from flanpy.docker.wanted import Wanted

_SWITCHES: Final = frozenset({"iptables", "ip-masq", "ip-forward"})
_TEXTS: Final = frozenset({"fixed-cidr", "default-gateway", "firewall-backend"})
_POOL_FLAG: Final = "default-address-pool"

_USUAL_POOLS: Final = (*(f"172.{number}.0.0/16" for number in range(17, 32)), "192.168.0.0/16")
"""dockerd's own, where nobody names any (docs.docker.com, "default address pools")."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The part of ours that Docker can be asked for: `notes` say what follows where its settings decide otherwise."""

    keep_masquerade: bool = False
    notes: tuple[str, ...] = ()


def goal(settings: Mapping[str, Any], flags: Sequence[str], where: str, wanted: Wanted) -> Goal:
    """Return the goal for a Docker with these settings and flags; `where` names the place of the flags, for people."""
    told = by_flags(flags)
    if {**settings, **told}.get("iptables", True) is False:
        why = "iptables is false" + (f", by {where}" if "iptables" in told else "")
        return Goal(keep_masquerade=True, notes=(_without_rules(why, wanted),))
    if "ip-masq" not in told:
        return Goal()
    if told["ip-masq"] is wanted.masquerade:
        return Goal(keep_masquerade=True)
    why = f"ip-masq is {str(told['ip-masq']).lower()}, by {where}"
    if wanted.masquerade:
        return Goal(keep_masquerade=True, notes=(_no_egress(why),))
    note = (
        f"Docker masquerades what leaves docker0 ({why}), also for the overlay: peers see this host's address"
    )
    return Goal(keep_masquerade=True, notes=(note,))


def waits_for_forwarding(settings: Mapping[str, Any], flags: Sequence[str]) -> bool:
    """Report whether this Docker makes no bridge before the host forwards: the nftables backend turns nothing on."""
    told = {**settings, **by_flags(flags)}
    return told.get("firewall-backend") == "nftables" and told.get("ip-forward", True) is not False


def by_flags(flags: Sequence[str]) -> dict[str, Any]:
    """Return the settings that flags give, by their name in daemon.json; only those that matter here."""
    told: dict[str, Any] = {}
    for position, word in enumerate(flags):
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            continue
        if name in _SWITCHES:
            told[name] = value.lower() not in {"false", "0", "f"} if equals else True
        elif name in _TEXTS:
            told[name] = value if equals else next(iter(flags[position + 1 : position + 2]), "")
    return told


def pools_within(settings: Mapping[str, Any], flags: Sequence[str], overlay: IPv4Network) -> tuple[str, ...]:
    """Return one line for each address pool from which Docker may give a network a peer's subnet."""
    named = [*_pools_of_file(settings), *_pools_of_flags(flags)]
    found = [pool for pool in named or _USUAL_POOLS if _overlaps(pool, overlay)]
    whose = "default-address-pools has" if named else "Docker takes networks from"
    return tuple(
        f"{whose} {pool}, which overlaps the overlay {overlay}: a network made from it takes packets for other hosts;"
        " name default-address-pools elsewhere in daemon.json"
        for pool in found
    )


def names_unasked(settings: Mapping[str, Any], flags: Sequence[str], resolver: str) -> tuple[str, ...]:
    """Return one line if containers do not ask our resolver unless each is told to, none if they do."""
    servers = settings.get("dns")
    named = [*(servers if isinstance(servers, list) else ()), *_values(flags, "dns")]
    if resolver in named:
        return ()
    cure = "run 'flanpyctl docker apply --dns' (in bip mode), put it first in dns of daemon.json, or start them with"
    return (f"containers do not ask {resolver} for names of other hosts: {cure} --dns {resolver}",)


def _without_rules(why: str, wanted: Wanted) -> str:
    if wanted.masquerade:
        return _no_egress(why)
    return f"Docker keeps no rules ({why}): flanpyd masquerades and accepts for the overlay"


def _no_egress(why: str) -> str:
    return (
        f"Docker does not masquerade ({why}): containers reach nothing outside the overlay"
        " unless flanpyd runs with ip-masq"
    )


def _pools_of_file(settings: Mapping[str, Any]) -> Iterator[str]:
    pools = settings.get("default-address-pools")
    for pool in pools if isinstance(pools, list) else ():
        if isinstance(pool, dict):
            yield str(pool.get("base", ""))


def _pools_of_flags(flags: Sequence[str]) -> Iterator[str]:
    for text in _values(flags, _POOL_FLAG):
        yield from (part[5:] for part in text.split(",") if part.startswith("base="))


def _values(flags: Sequence[str], flag: str) -> Iterator[str]:
    """Yield the values of a flag that may be given several times."""
    for position, word in enumerate(flags):
        name, equals, value = word.lstrip("-").partition("=")
        if name == flag and word.startswith("-"):
            yield value if equals else next(iter(flags[position + 1 : position + 2]), "")


def _overlaps(pool: str, overlay: IPv4Network) -> bool:
    try:
        return ip_network(pool, strict=False).overlaps(overlay)
    except (ValueError, TypeError):
        return False
