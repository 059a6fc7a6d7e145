"""The fields of a network config with their types checked, family by family, and the warnings that come up on the way.

Owns the checks of a single value: a boolean, a whole number, a range, an address. The relations between values are
checked in `network_pool`. Input that flannel ignores (unknown keys, host bits, a range whose family is off) is a
warning, not an error.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NoReturn

from flanpy.errors import ConfigError
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.network.fields import SPELLING
from flanpy.model.quoting import quoted_json


@dataclass(frozen=True, slots=True)
class Rules:
    """The differences between the families: the fields' prefix, the longest subnet and the usual one."""

    family: Family
    prefix: str
    longest: int
    usual: int

    def name(self, field: str) -> str:
        """Return the field's name for this family."""
        return f"{self.prefix}{field}"


RULES = (Rules(Family.IPV4, "", 30, 24), Rules(Family.IPV6, "IPv6", 126, 64))


class Values:
    """The document's fields with their types checked, collecting warnings on the way."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document
        self.warnings = [_unknown(key) for key in document if key not in SPELLING]

    def has(self, name: str) -> bool:
        """Report whether the field is present, even if null."""
        return name.lower() in self._document

    def get(self, name: str) -> object:
        return self._document.get(name.lower())

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return a switch, or its default if it is absent or null."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            refuse(name, value, "must be true or false")
        return value

    def length(self, rules: Rules) -> int:
        """Return the subnet length as given, 0 if absent (flannel reads an explicit 0 the same way)."""
        name = rules.name("SubnetLen")
        value = self.get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            refuse(
                name,
                value,
                "must be a whole number, the prefix length of one host's subnet",
                str(rules.usual),
            )
        return value

    def network(self, rules: Rules) -> IPNetwork:
        """Return the family's range, which is required."""
        name = rules.name("Network")
        example = "10.5.0.0/16" if rules.family is Family.IPV4 else "fd42:5::/48"
        value = self.get(name)
        if value is None:
            raise ConfigError(
                f'network config: {name} is missing; give the overlay\'s range, like "{name}": "{example}"'
            )
        rule = f"must be a range of {_family_name(rules.family)} in CIDR form"
        if not isinstance(value, str):
            refuse(name, value, rule, example)
        if _is_of_the_other(value, rules.family):
            other = "IPv6Network" if rules.family is Family.IPV4 else "Network"
            refuse(name, value, f"{rule}; a range of the other family is {other}")
        has_length = "/" in value and value.rpartition("/")[2].isdecimal()
        network = _network(value, rules.family) if has_length else None
        if network is None:
            mended = _mended(value, rules.family)
            refuse(name, value, rule if mended else f"{rule}, as {example}", mended)
        if network.prefixlen == 0:
            refuse(name, value, "must not be all addresses", example)
        if (
            str(network) != value
            and _address(value.partition("/")[0], rules.family) != network.network_address
        ):
            self.warnings.append(f"{name} {quoted_json(value)} has host bits set; {network} is used")
        return network

    def bound(self, name: str, family: Family) -> IPAddress | None:
        """Return a bound, or None if it is absent; flannel reads an all-zero address the same way."""
        value = self.get(name)
        if value is None:
            return None
        address = _address(value, family) if isinstance(value, str) else None
        if address is None:
            refuse(name, value, f"must be an {_family_name(family)} address")
        return address if int(address) else None

    def warn_if_off(self, enabled: tuple[bool, bool]) -> None:
        """Warn of the ranges of families that are not enabled, in the order of RULES."""
        for rules, on in zip(RULES, enabled, strict=True):
            if not on and self.get(rules.name("Network")) is not None:
                switch = f"Enable{_family_name(rules.family)}"
                self.warnings.append(f"{rules.name('Network')} is ignored while {switch} is false")


def refuse(field: str, value: object, rule: str, nearest: str = "") -> NoReturn:
    """Raise the ConfigError that names the field, its value, the rule, and a valid value."""
    hint = f" (nearest: {nearest})" if nearest else ""
    raise ConfigError(f"network config: {field} {quoted_json(value)} {rule}{hint}")


def _network(text: str, family: Family) -> IPNetwork | None:
    if "%" in text:  # a zone is no part of a range, but Python takes it
        return None
    try:
        return IPv4Network(text, strict=False) if family is Family.IPV4 else IPv6Network(text, strict=False)
    except ValueError:
        return None


def _is_of_the_other(text: str, family: Family) -> bool:
    other = Family.IPV6 if family is Family.IPV4 else Family.IPV4
    return _address(text.partition("/")[0], other) is not None


def _mended(text: str, family: Family) -> str:
    """Return the text with only what is wrong put right: a length that is none, or a part of the address left out."""
    base, _, length = text.partition("/")
    if family is Family.IPV4 and base.count(".") < 3:
        base += ".0" * (3 - base.count("."))
    usual = 16 if family is Family.IPV4 else 48
    for bits in (length, str(usual)):
        network = _network(f"{base}/{bits}", family) if bits.isdecimal() else None
        if network is not None and network.prefixlen:
            return str(network)
    return ""


def _address(text: str, family: Family) -> IPAddress | None:
    if "%" in text:
        return None
    try:
        return IPv4Address(text) if family is Family.IPV4 else IPv6Address(text)
    except ValueError:
        return None


def _family_name(family: Family) -> str:
    return "IPv4" if family is Family.IPV4 else "IPv6"


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key[:40], SPELLING, n=1, cutoff=0.6)
    hint = f"; did you mean {SPELLING[close[0]]}?" if close else ""
    return f"unknown key {quoted_json(key)} is ignored{hint}"
