"""Docker's actual state, as frozen values made from the documents of its API.

Owns the reading of those documents; every caller (a command through the SDK, the daemon over its own connection) gets
the same facts. Pure. daemon.json holds Docker's instructions; only these facts show its behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any, Final

from flanpy.errors import DockerError
from flanpy.model.bridge import DEFAULT_BRIDGE

OPTION: Final = "com.docker.network.bridge."
MTU_OPTION: Final = "com.docker.network.driver.mtu"
OWNER_LABEL: Final = "net.flanpy.network"
"""The label of the network that we keep; a network without it belongs to another owner."""

_DEFAULT_MTU: Final = 1500
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Docker's version, compared by what gates need: major and minor."""

    major: int
    minor: int
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class DockerNetwork:
    """A bridge network. `containers` are the names of the running ones on it."""

    id: str
    name: str
    bridge: str
    subnet: IPv4Network | None
    gateway: IPv4Address | None
    mtu: int
    masquerade: bool
    options: tuple[tuple[str, str], ...] = ()
    ours: bool = False
    subnets6: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()

    @property
    def gateway_mode(self) -> str:
        return dict(self.options).get(f"{OPTION}gateway_mode_ipv4", "")


@dataclass(frozen=True, slots=True)
class DockerFacts:
    """One look at a running dockerd. `running` counts containers on all networks; `default` is None without docker0.

    `filter` is the firewall backend as newer versions name it ("iptables", "nftables+firewalld"), '' on older ones.
    """

    version: Version
    live_restore: bool
    running: int
    default: DockerNetwork | None
    own: DockerNetwork | None
    filter: str = ""


def version(text: str) -> Version:
    """From `20.10.24+dfsg1`. Raises DockerError."""
    match = re.match(r"v?(\d+)\.(\d+)", text)
    if match is None:
        raise DockerError(f"Docker says its version is '{text}', which is none: is that Docker?")
    return Version(int(match[1]), int(match[2]), text)


def facts(info: Document, default: Document | None, own: Document | None) -> DockerFacts:
    """From /info, /networks/bridge and /networks/flanpy (None: not found)."""
    return DockerFacts(
        version=version(str(info.get("ServerVersion", ""))),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        running=int(info.get("ContainersRunning") or 0),
        default=network(default) if default else None,
        own=network(own) if own else None,
        filter=str((info.get("FirewallBackend") or {}).get("Driver", "")),
    )


def network(document: Document) -> DockerNetwork:
    """From /networks/NAME."""
    options: dict[str, str] = document.get("Options") or {}
    labels: Document = document.get("Labels") or {}
    configs = (document.get("IPAM") or {}).get("Config") or ()
    subnet, gateway = _ipv4(configs)
    name = str(document.get("Name", ""))
    return DockerNetwork(
        id=str(document.get("Id", "")),
        name=name,
        bridge=options.get(f"{OPTION}name") or _bridge_of(name, str(document.get("Id", ""))),
        subnet=subnet,
        gateway=gateway,
        mtu=_number(options.get(MTU_OPTION)) or _DEFAULT_MTU,
        masquerade=options.get(f"{OPTION}enable_ip_masquerade", "true").lower() != "false",
        options=tuple(sorted(options.items())),
        ours=OWNER_LABEL in labels,
        subnets6=tuple(sorted(c["Subnet"] for c in configs if ":" in c.get("Subnet", ""))),
        containers=tuple(
            sorted(str(one.get("Name", "?")) for one in (document.get("Containers") or {}).values())
        ),
    )


def _bridge_of(name: str, id_: str) -> str:
    return DEFAULT_BRIDGE if name == "bridge" else f"br-{id_[:12]}"


def _ipv4(configs: Iterable[Document]) -> tuple[IPv4Network | None, IPv4Address | None]:
    for config in configs:
        subnet = _parsed(ip_network, config.get("Subnet"))
        if isinstance(subnet, IPv4Network):
            gateway = _parsed(ip_address, config.get("Gateway"))
            return subnet, gateway if isinstance(gateway, IPv4Address) else None
    return None, None


def _parsed(parse: Any, text: Any) -> Any:
    """An address or network, None if it is none. Some versions give the gateway a length, or the subnet host bits."""
    try:
        return parse(text.partition("/")[0]) if parse is ip_address else parse(text, strict=False)
    except (AttributeError, ValueError, TypeError):
        return None


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch("[0-9]{1,9}", text) else 0
