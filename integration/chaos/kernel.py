"""Faults of the kernel's state: what flanpyd put there is deleted, flushed or altered. Only flanpyd mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from integration.chaos.kinds import DEVICE, Family, Ground, Kind, Part, Strike
from integration.lab import LabError
from integration.lab.namespaces import set_sysctls

_kernel = partial(Kind, family=Family.KERNEL, part=Part.DEVICE)
_STRANGER = "02:66:66:66:66:66"
_NOWHERE = "10.99.200.200"


def _typed(*lines: str) -> Strike:
    """A fault that is `ip` or `bridge` commands."""

    def strike(ground: Ground) -> Iterator[None]:
        for line in lines:
            ground.host.run(*line.split())
        yield

    return strike


def _each(choose: Callable[[Ground], Sequence[str]]) -> Strike:
    """A fault on one, some or all of the objects there are: `choose` gives a command for each."""

    def strike(ground: Ground) -> Iterator[None]:
        lines = choose(ground)
        if not lines:
            raise LabError(f"{ground.host.name}: nothing stands there that could be struck")
        for line in ground.random.sample(lines, ground.random.randint(1, len(lines))):
            ground.host.run(*line.split(), check=False)
        yield

    return strike


def _routes(ground: Ground) -> list[str]:
    return sorted(to for to, row in ground.host.routes().items() if row.get("dev") == DEVICE)


def _fdb(ground: Ground) -> list[tuple[str, str]]:
    rows = ground.host.bridge_json("fdb", "show", "dev", DEVICE)
    return sorted((row["mac"], row["dst"]) for row in rows if "dst" in row)


def _neighbours(ground: Ground) -> list[str]:
    rows = ground.host.ip_json("neigh", "show", "dev", DEVICE, "nud", "permanent")
    return sorted(row["dst"] for row in rows)


def _routes_deleted(ground: Ground) -> list[str]:
    return [f"ip route del {to} dev {DEVICE}" for to in _routes(ground)]


def _routes_altered(ground: Ground) -> list[str]:
    return [f"ip route replace {to} via {_NOWHERE} dev {DEVICE} onlink proto 70" for to in _routes(ground)]


def _fdb_deleted(ground: Ground) -> list[str]:
    return [f"bridge fdb del {mac} dev {DEVICE} dst {to} self permanent" for mac, to in _fdb(ground)]


def _fdb_altered(ground: Ground) -> list[str]:
    return [f"bridge fdb replace {mac} dev {DEVICE} dst {_NOWHERE} self permanent" for mac, _ in _fdb(ground)]


def _fdb_added(ground: Ground) -> list[str]:
    """Stale entries of peers that are no more."""
    return [
        f"bridge fdb add 02:66:66:66:66:{number:02x} dev {DEVICE} dst {_NOWHERE} self permanent"
        for number in range(8)
    ]


def _neighbours_deleted(ground: Ground) -> list[str]:
    return [f"ip neigh del {to} dev {DEVICE}" for to in _neighbours(ground)]


def _neighbours_altered(ground: Ground) -> list[str]:
    return [
        f"ip neigh replace {to} lladdr {_STRANGER} dev {DEVICE} nud permanent" for to in _neighbours(ground)
    ]


def _all_gone(ground: Ground) -> Iterator[None]:
    """The device, then again as soon as it is back: three times."""
    for _ in range(3):
        ground.host.run("ip", "link", "del", DEVICE, check=False)
        ground.pause(ground.random.uniform(0.1, ground.blow.lasts / 3))
    yield


def _replaced(ground: Ground) -> Iterator[None]:
    """Somebody makes a device of the same name that differs from ours in what cannot be changed."""
    port = ground.random.choice((4789, 8472))
    how = f"type vxlan id 1 dstport {port} local {ground.host.address} learning"
    ground.host.run("ip", "link", "del", DEVICE)
    ground.host.run(*f"ip link add {DEVICE} {how}".split(), check=False)  # flanpyd may have been faster
    yield


def _foreign_churn(ground: Ground) -> Iterator[None]:
    """Thousands of routes of others come and go, more than a netlink socket holds."""
    adds = "\n".join(f"route add 198.18.{n // 250}.{n % 250} via 198.19.0.9 table 4343" for n in range(4000))
    for _ in range(2):
        ground.host.run("ip", "-batch", "-", stdin=adds + "\n")
        ground.host.run("ip", "route", "flush", "table", "4343")
    yield


def _reverse_path_strict(ground: Ground) -> Iterator[None]:
    set_sysctls(ground.host.namespace, {f"net/ipv4/conf/{DEVICE}/rp_filter": "1"})
    yield


def _forwarding_off(ground: Ground) -> Iterator[None]:
    set_sysctls(ground.host.namespace, {"net/ipv4/ip_forward": "0"})
    yield


def _ruleset_flushed(ground: Ground) -> Iterator[None]:
    """`nft flush ruleset`, as a firewall's reload does; what was others' comes back with that firewall."""
    from integration.chaos.foreign import plant_filter  # noqa: PLC0415 - foreign knows the lab, not the faults

    ground.host.run("nft", "flush", "ruleset")
    plant_filter(ground.host)
    yield


KINDS = (
    _kernel("device_deleted", strike=_typed(f"ip link del {DEVICE}"), lasts=(0.1, 0.2)),
    _kernel("device_deleted_thrice", strike=_all_gone, lasts=(0.5, 3)),
    _kernel("device_down", strike=_typed(f"ip link set {DEVICE} down"), lasts=(0.1, 0.2)),
    _kernel("device_mac", strike=_typed(f"ip link set {DEVICE} address {_STRANGER}"), lasts=(0.1, 0.2)),
    _kernel("device_mtu", strike=_typed(f"ip link set {DEVICE} mtu 1280"), lasts=(0.1, 0.2), breaks=False),
    _kernel("address_flushed", strike=_typed(f"ip addr flush dev {DEVICE}"), lasts=(0.1, 0.2)),
    _kernel("routes_flushed", strike=_typed(f"ip route flush dev {DEVICE}"), lasts=(0.1, 0.2)),
    _kernel("routes_deleted", strike=_each(_routes_deleted), lasts=(0.1, 0.2)),
    _kernel("routes_altered", strike=_each(_routes_altered), lasts=(0.1, 0.2)),
    _kernel("fdb_deleted", strike=_each(_fdb_deleted), lasts=(0.1, 0.2)),
    _kernel("fdb_altered", strike=_each(_fdb_altered), lasts=(0.1, 0.2)),
    _kernel("fdb_added", strike=_each(_fdb_added), lasts=(0.1, 0.2), breaks=False),
    _kernel("neighbours_deleted", strike=_each(_neighbours_deleted), lasts=(0.1, 0.2)),
    _kernel("neighbours_altered", strike=_each(_neighbours_altered), lasts=(0.1, 0.2)),
    _kernel("device_replaced", strike=_replaced, lasts=(0.1, 0.2)),
    _kernel("foreign_churn", strike=_foreign_churn, lasts=(0.5, 1.5), breaks=False),
    _kernel("rp_filter_strict", strike=_reverse_path_strict, lasts=(0.1, 0.2), breaks=False),
    _kernel("forwarding_off", strike=_forwarding_off, lasts=(0.1, 0.2)),
    _kernel("iptables_flushed", strike=_typed("iptables -F", "iptables -t nat -F"), lasts=(0.1, 0.2)),
    _kernel("ruleset_flushed", strike=_ruleset_flushed, lasts=(0.1, 0.2)),
)
