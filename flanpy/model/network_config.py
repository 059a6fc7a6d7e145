"""Reading and writing the text of `<prefix>/config`, by flannel's rules (its Documentation/configuration.md).

Owns every rule on the network's shape: pools, subnet lengths, bounds, families, and the name of the backend. The
backend's own options are only carried: the backend judges them. Must not do I/O; takes text, returns a `NetworkConfig`
or raises a `ConfigError` of one line: field, value, rule, and where there is one the nearest value that would do.

Where flannel is lax and the result would be silent harm (a key given twice, bounds in the wrong order, both
families off, an empty backend type), this is an error; what flannel ignores (unknown keys, host bits) is a warning.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import NoReturn

from flanpy.errors import ConfigError
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.network import NetworkConfig

LONGEST = 256 * 1024
"""Characters of config text that are looked at; etcd itself takes up to 1.5 MiB."""

BACKEND_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "vxlan": ("VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting"),
        "udp": ("Port",),
        "host-gw": (),
        "ipip": ("DirectRouting",),
        "wireguard": (
            "ListenPort",
            "ListenPortV6",
            "MTU",
            "PSK",
            "PersistentKeepaliveInterval",
            "Mode",
        ),
        "extension": ("PreStartupCommand", "PostStartupCommand", "SubnetAddCommand", "SubnetRemoveCommand"),
        "alloc": (),
    }
)
"""flannel's backends and the spelling of their options."""

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "VNI": "number of the VXLAN, on the wire and in the device's name (default 1)",
        "Port": "UDP port (default of vxlan 8472, of udp 8285)",
        "MTU": "MTU of the overlay, if it is not to follow the underlay's",
        "GBP": "group policy extension of VXLAN (default false)",
        "Learning": "the device learns addresses from packets (default false)",
        "DirectRouting": "plain routes to peers on the same L2 segment (default false)",
        "PreStartupCommand": "run before the host's lease is written; what it prints is its BackendData",
        "PostStartupCommand": "run once the lease stands",
        "SubnetAddCommand": "run for each peer that comes",
        "SubnetRemoveCommand": "run for each peer that goes",
    }
)
"""What the options of the backends that are here mean."""

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "Network": "the IPv4 range of all hosts; it has to be there unless EnableIPv4 is false",
        "SubnetLen": "prefix length of a host's subnet (default 24, at least two more than Network's)",
        "SubnetMin": "first subnet that may be leased (default the second of Network)",
        "SubnetMax": "last subnet that may be leased (default the last of Network)",
        "EnableIPv4": "whether hosts lease IPv4 subnets (default true)",
        "EnableIPv6": "whether hosts lease IPv6 subnets (default false)",
        "EnableNFTables": "nftables for hosts without Docker's rules whose --filter-backend is auto (default false)",
        "IPv6Network": "the IPv6 range of all hosts",
        "IPv6SubnetLen": "prefix length of a host's IPv6 subnet (default 64, at least two more than IPv6Network's)",
        "IPv6SubnetMin": "first IPv6 subnet that may be leased (default the second)",
        "IPv6SubnetMax": "last IPv6 subnet that may be leased (default the last)",
        "Backend": "how packets go between hosts: an object with Type and that backend's options (default udp)",
    }
)
"""The fields of a network config, flannel's, and what they mean."""

_SPELLING = {name.lower(): name for name in FIELDS}


@dataclass(frozen=True, slots=True)
class _Rules:
    """What differs between the families."""

    family: Family
    prefix: str
    longest: int
    usual: int

    def name(self, field: str) -> str:
        return f"{self.prefix}{field}"


_RULES = (_Rules(Family.IPV4, "", 30, 24), _Rules(Family.IPV6, "IPv6", 126, 64))


@dataclass(frozen=True, slots=True)
class _Pool:
    """One family's range, and the first and last subnet base in it."""

    network: IPNetwork
    length: int
    first: IPAddress
    last: IPAddress


class _Repeated(ValueError):
    """A key stands twice in one object; Go would silently take the last."""


def parse_network_config(text: str | bytes) -> NetworkConfig:
    """Read and validate the JSON of a network config; raises ConfigError."""
    source = _decoded(text)
    values = _Values(_object(source))
    enabled = (values.boolean("EnableIPv4", default=True), values.boolean("EnableIPv6", default=False))
    if not any(enabled):
        _fail("EnableIPv4", False, "EnableIPv6 is off too, so that nothing can be leased", "true")
    pool, pool6 = (_pool(values, rules) if on else None for rules, on in zip(_RULES, enabled, strict=True))
    values.warn_if_off(enabled)
    backend_type, options = _backend(values.get("Backend"), present=values.has("Backend"))
    return NetworkConfig(
        **_pool_fields(pool, pool6),  # type: ignore[arg-type]
        enable_nftables=values.boolean("EnableNFTables", default=False),
        backend_type=backend_type,
        backend_options=MappingProxyType(options),
        warnings=tuple(values.warnings),
        text=source,
    )


def render_network_config(config: NetworkConfig) -> str:
    """The JSON text of `config` with every default written out, as flannel and `parse_network_config` read it."""
    document: dict[str, object] = {}
    if config.network is None:
        document["EnableIPv4"] = False
    else:
        document |= _rendered_pool(
            "", config.network, config.subnet_len, config.subnet_min, config.subnet_max
        )
    if config.network6 is not None:
        document["EnableIPv6"] = True
        document |= _rendered_pool(
            "IPv6", config.network6, config.subnet_len6, config.subnet_min6, config.subnet_max6
        )
    if config.enable_nftables:
        document["EnableNFTables"] = True
    spelling = {name.lower(): name for name in BACKEND_OPTIONS.get(config.backend_type, ())}
    options = {spelling.get(name, name): value for name, value in config.backend_options.items()}
    document["Backend"] = {"Type": config.backend_type, **options}
    return json.dumps(document, ensure_ascii=False)


def _rendered_pool(
    prefix: str, network: IPNetwork, length: int, first: IPAddress | None, last: IPAddress | None
) -> dict[str, object]:
    return {
        f"{prefix}Network": str(network),
        f"{prefix}SubnetLen": length,
        f"{prefix}SubnetMin": str(first),
        f"{prefix}SubnetMax": str(last),
    }


def _pool_fields(pool: _Pool | None, pool6: _Pool | None) -> dict[str, object]:
    return {
        "network": pool and pool.network,
        "subnet_len": pool.length if pool else _RULES[0].usual,
        "subnet_min": pool and pool.first,
        "subnet_max": pool and pool.last,
        "network6": pool6 and pool6.network,
        "subnet_len6": pool6.length if pool6 else _RULES[1].usual,
        "subnet_min6": pool6 and pool6.first,
        "subnet_max6": pool6 and pool6.last,
    }


def _decoded(text: str | bytes) -> str:
    if len(text) > LONGEST:
        raise ConfigError(
            f"network config: {len(text)} bytes are more than the {LONGEST} allowed; store a shorter one"
        )
    try:
        return text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"network config: byte {error.start} is not UTF-8; store JSON text") from error


def _object(source: str) -> dict[str, object]:
    try:
        document: object = json.loads(source, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Repeated as error:
        raise ConfigError(f"network config: {error}") from error
    except RecursionError as error:
        raise ConfigError(
            "network config: brackets are nested too deeply; a config has two levels"
        ) from error
    except ValueError as error:
        raise ConfigError(f"network config: no JSON: {_short(str(error))}") from error
    if not isinstance(document, dict):
        raise ConfigError(
            f'network config: {_shown(document)} is no JSON object like {{"Network": "10.5.0.0/16"}}'
        )
    return document


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Keys in lower case, as Go matches them; a key given twice is refused, in whatever case."""
    found: dict[str, object] = {}
    spelled: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in found:
            raise _Repeated(f"key {_shown(name)} stands twice (as {_shown(spelled[lower])} before); keep one")
        found[lower] = value
        spelled[lower] = name
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


class _Values:
    """The document's fields with their types checked, collecting warnings on the way."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document
        self.warnings = [_unknown(key) for key in document if key not in _SPELLING]

    def has(self, name: str) -> bool:
        return name.lower() in self._document

    def get(self, name: str) -> object:
        return self._document.get(name.lower())

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            _fail(name, value, "must be true or false")
        return value

    def length(self, rules: _Rules) -> int:
        """The subnet length as given, 0 if it was not (flannel reads an explicit 0 so, too)."""
        name = rules.name("SubnetLen")
        value = self.get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            _fail(
                name,
                value,
                "must be a whole number, the prefix length of one host's subnet",
                str(rules.usual),
            )
        return value

    def network(self, rules: _Rules) -> IPNetwork:
        name = rules.name("Network")
        example = "10.5.0.0/16" if rules.family is Family.IPV4 else "fd42:5::/48"
        value = self.get(name)
        if value is None:
            raise ConfigError(
                f'network config: {name} is missing; give the overlay\'s range, like "{name}": "{example}"'
            )
        rule = f"must be a range of {_family_name(rules.family)} in CIDR form"
        if not isinstance(value, str) or "/" not in value or not value.rpartition("/")[2].isdecimal():
            _fail(name, value, rule, example)
        network = _network(value, rules.family)
        if network is None:
            _fail(name, value, rule, example)
        if network.prefixlen == 0:
            _fail(name, value, "must not be all addresses", example)
        if (
            str(network) != value
            and _address(value.partition("/")[0], rules.family) != network.network_address
        ):
            self.warnings.append(f"{name} {_shown(value)} has host bits set; {network} is used")
        return network

    def bound(self, name: str, family: Family) -> IPAddress | None:
        """A bound, or None if it is not given; flannel reads an all-zero address so, too."""
        value = self.get(name)
        if value is None:
            return None
        address = _address(value, family) if isinstance(value, str) else None
        if address is None:
            _fail(name, value, f"must be an {_family_name(family)} address")
        return address if int(address) else None

    def warn_if_off(self, enabled: tuple[bool, bool]) -> None:
        for rules, on in zip(_RULES, enabled, strict=True):
            if not on and self.get(rules.name("Network")) is not None:
                switch = f"Enable{_family_name(rules.family)}"
                self.warnings.append(f"{rules.name('Network')} is ignored while {switch} is false")


def _pool(values: _Values, rules: _Rules) -> _Pool:
    network = values.network(rules)
    length = _length(values.length(rules), network, rules)
    size = 1 << (rules.family.bits - length)
    base = int(network.network_address)
    end = base + network.num_addresses - size
    # The network's first subnet is left out: its base is the network's own address, which must not sit on a link.
    first = _bound(values, rules, "SubnetMin", network, length) or _like(network, base + size)
    last = _bound(values, rules, "SubnetMax", network, length) or _like(network, end)
    if int(first) > int(last):
        _fail(
            rules.name("SubnetMin"),
            str(first),
            f"must not lie after {rules.name('SubnetMax')} {last}",
            str(last),
        )
    return _Pool(network, length, first, last)


def _length(given: int, network: IPNetwork, rules: _Rules) -> int:
    """flannel's rule: at least four subnets in a network, at least four addresses in a subnet."""
    name = rules.name("SubnetLen")
    shortest = network.prefixlen + 2
    if shortest > rules.longest:
        _fail(
            rules.name("Network"),
            str(network),
            "holds fewer than four subnets of four addresses",
            str(network.supernet(new_prefix=rules.longest - 2)),
        )
    if given == 0:
        return max(rules.usual, shortest)
    if given > rules.longest:
        _fail(
            name,
            given,
            f"must be at most {rules.longest}, or a subnet has no room for hosts",
            str(rules.longest),
        )
    if given < shortest:
        _fail(
            name,
            given,
            f"must be at least {shortest}, or {network} does not hold four subnets",
            str(shortest),
        )
    return given


def _bound(values: _Values, rules: _Rules, field: str, network: IPNetwork, length: int) -> IPAddress | None:
    name = rules.name(field)
    address = values.bound(name, rules.family)
    if address is None:
        return None
    offset = int(address) - int(network.network_address)
    if not 0 <= offset < network.num_addresses:
        _fail(name, str(address), f"must lie in {rules.name('Network')} {network}")
    size = 1 << (rules.family.bits - length)
    if offset % size:
        _fail(
            name,
            str(address),
            f"must be the base of a /{length}",
            str(_like(network, int(address) - offset % size)),
        )
    return address


def _backend(value: object, *, present: bool) -> tuple[str, dict[str, object]]:
    """Type in lower case and the other keys; no Backend at all means `udp`, as in flannel."""
    if not present:
        return "udp", {}
    if not isinstance(value, dict):
        _fail("Backend", value, 'must be an object like {"Type": "vxlan"}')
    options = dict(value)
    if "type" not in options:
        _fail("Backend", value, "has no Type", '{"Type": "vxlan"}')
    given = options.pop("type")
    name = given.lower() if isinstance(given, str) else ""
    if name not in BACKEND_OPTIONS:
        close = difflib.get_close_matches(name[:40], BACKEND_OPTIONS, n=1, cutoff=0.4)
        _fail("Backend.Type", given, f"must be one of {', '.join(BACKEND_OPTIONS)}", *close)
    return name, options


def _network(text: str, family: Family) -> IPNetwork | None:
    if "%" in text:  # a zone is no part of a range, but Python takes it
        return None
    try:
        return IPv4Network(text, strict=False) if family is Family.IPV4 else IPv6Network(text, strict=False)
    except ValueError:
        return None


def _address(text: str, family: Family) -> IPAddress | None:
    if "%" in text:
        return None
    try:
        return IPv4Address(text) if family is Family.IPV4 else IPv6Address(text)
    except ValueError:
        return None


def _like(network: IPNetwork, number: int) -> IPAddress:
    return IPv4Address(number) if network.version == 4 else IPv6Address(number)


def _family_name(family: Family) -> str:
    return "IPv4" if family is Family.IPV4 else "IPv6"


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key[:40], _SPELLING, n=1, cutoff=0.6)
    hint = f"; did you mean {_SPELLING[close[0]]}?" if close else ""
    return f"unknown key {_shown(key)} is ignored{hint}"


def _fail(field: str, value: object, rule: str, nearest: str = "") -> NoReturn:
    hint = f" (nearest: {nearest})" if nearest else ""
    raise ConfigError(f"network config: {field} {_shown(value)} {rule}{hint}")


def _shown(value: object) -> str:
    """A value as one short line of JSON."""
    try:
        return _short(json.dumps(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, a structure too deep to print
        return f"of type {type(value).__name__}"


def quoted(value: object, longest: int = 80) -> str:
    """A value as one short line of Python, whatever it holds."""
    try:
        return _short(ascii(value), longest)
    except (ValueError, RecursionError):
        return f"of type {type(value).__name__}"


def _short(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
