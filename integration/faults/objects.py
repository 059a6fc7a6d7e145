"""Faults of the kernel's state: what flanpyd put there is deleted, flushed or altered. Only flanpyd mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from integration.faults.fault import Family, Ground, Kind, Part, Strike
from integration.net.namespaces import LabError, set_sysctls
from integration.truth.fabric import VXLAN, Device

_kernel = partial(Kind, family=Family.KERNEL, part=Part.DEVICE)
_STRANGER = "02:66:66:66:66:66"
_NOWHERE = {"-4": "10.99.200.200", "-6": "fd99:1::200:200"}
_NONE = Device("", "-4", 0)
_on_tunnels = partial(_kernel, fabrics=frozenset({"vxlan", "udp", "dual"}))
_on_vxlan = partial(_kernel, fabrics=frozenset({"vxlan", "dual"}))


def _proto(ground: Ground) -> str:
    return ground.host.daemon.program.marks.proto


def _device(ground: Ground) -> Device:
    """One of the overlay's devices."""
    return ground.random.choice(ground.fabric.devices)


def _typed(*lines: str) -> Strike:
    """A fault that is `ip` or `bridge` commands on a device."""

    def strike(ground: Ground) -> Iterator[None]:
        device = _device(ground) if ground.fabric.devices else _NONE
        for line in lines:
            ground.host.run(*line.format(device=device.name, family=device.family).split())
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


def _routes(ground: Ground) -> list[tuple[str, str, str]]:
    """Family, destination and link of each route of the overlay."""
    families = sorted({device.family for device in ground.fabric.devices} or {"-4"})
    return sorted(
        (family, row["dst"], row["dev"])
        for family in families
        for row in ground.host.ip_json(family, "route", "show", "proto", _proto(ground))
    )


def _fdb(ground: Ground) -> tuple[str, list[tuple[str, str]]]:
    device = _device(ground)
    rows = ground.host.bridge_json("fdb", "show", "dev", device.name)
    return device.name, sorted((row["mac"], row["dst"]) for row in rows if "dst" in row)


def _neighbours(ground: Ground) -> tuple[str, list[str]]:
    device = _device(ground)
    rows = ground.host.ip_json("neigh", "show", "dev", device.name, "nud", "permanent")
    return device.name, sorted(row["dst"] for row in rows)


def _routes_deleted(ground: Ground) -> list[str]:
    return [f"ip {family} route del {to} dev {link}" for family, to, link in _routes(ground)]


def _routes_altered(ground: Ground) -> list[str]:
    return [
        f"ip {family} route replace {to} via {_NOWHERE[family]} dev {link} onlink proto {_proto(ground)}"
        for family, to, link in _routes(ground)
    ]


def _routes_flushed(ground: Ground) -> Iterator[None]:
    for family in ("-4", "-6"):
        ground.host.run("ip", family, "route", "flush", "proto", _proto(ground))
    yield


def _fdb_deleted(ground: Ground) -> list[str]:
    name, rows = _fdb(ground)
    return [f"bridge fdb del {mac} dev {name} dst {to} self permanent" for mac, to in rows]


def _fdb_altered(ground: Ground) -> list[str]:
    name, rows = _fdb(ground)
    return [
        f"bridge fdb replace {mac} dev {name} dst {_NOWHERE['-6' if ':' in to else '-4']} self permanent"
        for mac, to in rows
    ]


def _fdb_added(ground: Ground) -> list[str]:
    """Stale entries of peers that are no more."""
    device = _device(ground)
    return [
        f"bridge fdb add 02:66:66:66:66:{number:02x} dev {device.name} dst {_NOWHERE[device.family]} self permanent"
        for number in range(8)
    ]


def _neighbours_deleted(ground: Ground) -> list[str]:
    name, rows = _neighbours(ground)
    return [f"ip neigh del {to} dev {name}" for to in rows]


def _neighbours_altered(ground: Ground) -> list[str]:
    name, rows = _neighbours(ground)
    return [f"ip neigh replace {to} lladdr {_STRANGER} dev {name} nud permanent" for to in rows]


def _all_gone(ground: Ground) -> Iterator[None]:
    """The device, then again as soon as it is back: three times."""
    device = _device(ground).name
    for _ in range(3):
        ground.host.run("ip", "link", "del", device, check=False)
        ground.pause(ground.random.uniform(0.1, ground.blow.lasts / 3))
    yield


def _replaced(ground: Ground) -> Iterator[None]:
    """Somebody makes a device of the same name that differs from ours in what cannot be changed."""
    port = ground.random.choice((4789, 8472))
    how = f"type vxlan id 1 dstport {port} local {ground.host.address} learning"
    name = VXLAN.devices[0].name
    ground.host.run("ip", "link", "del", name)
    ground.host.run(*f"ip link add {name} {how}".split(), check=False)  # flanpyd may have been faster
    yield


def _foreign_churn(ground: Ground) -> Iterator[None]:
    """Thousands of routes of others come and go, more than a netlink socket holds."""
    adds = "\n".join(f"route add 198.18.{n // 250}.{n % 250} via 198.19.0.9 table 4343" for n in range(4000))
    for _ in range(2):
        ground.host.run("ip", "-batch", "-", stdin=adds + "\n")
        ground.host.run("ip", "route", "flush", "table", "4343")
    yield


def _reverse_path_strict(ground: Ground) -> Iterator[None]:
    set_sysctls(ground.host.namespace, {f"net/ipv4/conf/{ground.fabric.devices[0].name}/rp_filter": "1"})
    yield


def _forwarding_off(ground: Ground) -> Iterator[None]:
    set_sysctls(ground.host.namespace, {"net/ipv4/ip_forward": "0"})
    yield


def _ruleset_flushed(ground: Ground) -> Iterator[None]:
    """`nft flush ruleset`, as a firewall's reload does; what was others' comes back with that firewall."""
    from integration.truth.foreign import (  # noqa: PLC0415 - foreign knows the lab, not the faults
        plant_filter,
    )

    ground.host.run("nft", "flush", "ruleset")
    plant_filter(ground.host)
    yield


KINDS = (
    _on_tunnels("device_deleted", strike=_typed("ip link del {device}"), lasts=(0.1, 0.2)),
    _on_tunnels("device_deleted_thrice", strike=_all_gone, lasts=(0.5, 3)),
    _on_tunnels("device_down", strike=_typed("ip link set {device} down"), lasts=(0.1, 0.2)),
    _on_vxlan("device_mac", strike=_typed(f"ip link set {{device}} address {_STRANGER}"), lasts=(0.1, 0.2)),
    _on_tunnels("device_mtu", strike=_typed("ip link set {device} mtu 1280"), lasts=(0.1, 0.2), breaks=False),
    _on_tunnels("address_flushed", strike=_typed("ip {family} addr flush dev {device}"), lasts=(0.1, 0.2)),
    _kernel("routes_flushed", strike=_routes_flushed, lasts=(0.1, 0.2)),
    _kernel("routes_deleted", strike=_each(_routes_deleted), lasts=(0.1, 0.2)),
    _kernel("routes_altered", strike=_each(_routes_altered), lasts=(0.1, 0.2)),
    _on_vxlan("fdb_deleted", strike=_each(_fdb_deleted), lasts=(0.1, 0.2)),
    _on_vxlan("fdb_altered", strike=_each(_fdb_altered), lasts=(0.1, 0.2)),
    _on_vxlan("fdb_added", strike=_each(_fdb_added), lasts=(0.1, 0.2), breaks=False),
    _on_vxlan("neighbours_deleted", strike=_each(_neighbours_deleted), lasts=(0.1, 0.2)),
    _on_vxlan("neighbours_altered", strike=_each(_neighbours_altered), lasts=(0.1, 0.2)),
    _on_vxlan("device_replaced", strike=_replaced, lasts=(0.1, 0.2)),
    _kernel("foreign_churn", strike=_foreign_churn, lasts=(0.5, 1.5), breaks=False),
    _on_tunnels("rp_filter_strict", strike=_reverse_path_strict, lasts=(0.1, 0.2), breaks=False),
    _kernel("forwarding_off", strike=_forwarding_off, lasts=(0.1, 0.2)),
    _kernel("iptables_flushed", strike=_typed("iptables -F", "iptables -t nat -F"), lasts=(0.1, 0.2)),
    _kernel("ruleset_flushed", strike=_ruleset_flushed, lasts=(0.1, 0.2)),
)
