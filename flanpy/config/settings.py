"""The settings of one daemon, typed and frozen, with the origin of every value.

Owns the shape only: `options.py` says which option fills which field, `loading.py` fills them. Every field stands for
exactly one option of the same name (with '_' for '-'; the group's prefix left out where the group is called so).
Durations are seconds. Paths are as given, not resolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address
ANY_ADDRESS = IPv4Address(0)


def is_loopback(host: str) -> bool:
    """Report whether a URL's host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value: `source` is flag, env, credential, file or default, `where` the place if any."""

    source: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.where}".rstrip()


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address and TCP port to listen on."""

    host: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdOptions:
    """The access to etcd. Endpoints are `http://host:port` or `https://host:port`, one scheme for all."""

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    prefix: str = "/coreos.com/network"
    keyfile: Path | None = None
    certfile: Path | None = None
    cafile: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    plain_password: bool = False
    follow: bool = False

    @property
    def tls(self) -> bool:
        """Report whether connections are encrypted; without a CA file the system's roots are trusted."""
        return self.endpoints[0].startswith("https://")

    @property
    def off_host(self) -> tuple[str, ...]:
        """Return the endpoints that are not on this host's loopback: what is sent there passes a network."""
        return tuple(url for url in self.endpoints if not is_loopback(urlsplit(url).hostname or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseListOptions:
    """The list of hosts that stands in for etcd, a path or URL ("": etcd has the leases), and who vouches for a URL."""

    place: str = ""
    cafile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlayOptions:
    """The choice of the link between hosts (an `iface` is an IP or a name), and the addresses to advertise."""

    iface: tuple[str, ...] = ()
    iface_regex: tuple[str, ...] = ()
    iface_can_reach: IPAddress | None = None
    public_ip: IPv4Address | None = None
    public_ipv6: IPv6Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Packet filter and masquerading, in flannel's words."""

    ip_masq: bool = False
    ip_masq_fully_random_disable: bool = False
    iptables_resync: float = 5.0
    iptables_forward_rules: bool = True
    ip_blackhole_route: bool = False
    backend: str = "auto"
    encapsulation_guard: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """HTTP: flannel's health port (0: off) and the metrics address (None: off)."""

    healthz_ip: IPAddress = ANY_ADDRESS
    healthz_port: int = 0
    metrics_listen: ListenAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """The status page (None: off): all users of the host read it on loopback; elsewhere it needs all three files."""

    listen: ListenAddress | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """The switch and interval (seconds) of peer probes, and the port by which agents exchange results (0: off)."""

    on: bool = True
    interval: float = 10.0
    mesh_port: int = 8473


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """The format and level of the log; the words of `flanpy.log.configure`."""

    format: str = "auto"
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    """The Docker to configure, the way it gets the subnet, and the terms of a restart for that (`flanpyctl docker`)."""

    mode: str = "auto"
    socket: Path = Path("/run/docker.sock")
    config_file: Path = Path("/etc/docker/daemon.json")
    restart: str = "never"
    restart_command: str = "systemctl restart docker"
    restart_timeout: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """The provider's API ("": the SDK's own choice), and how often its route tables are read."""

    endpoint: str = ""
    interval: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set on one host."""

    etcd: EtcdOptions = EtcdOptions()
    leases: LeaseListOptions = LeaseListOptions()
    underlay: UnderlayOptions = UnderlayOptions()
    filter: FilterOptions = FilterOptions()
    listen: ListenOptions = ListenOptions()
    page: PageOptions = PageOptions()
    probe: ProbeOptions = ProbeOptions()
    docker: DockerOptions = DockerOptions()
    cloud: CloudOptions = CloudOptions()
    log: LogOptions = LogOptions()
    node_id: str | None = None
    host_name: str | None = None
    host_label: tuple[str, ...] = ()
    state_dir: Path = Path("/var/lib/flanpy")
    run_dir: Path = Path("/run/flanpy")
    subnet_file: Path = Path("/run/flannel/subnet.env")
    subnet_lease_ttl: int = 86400
    subnet_lease_renew_margin: float = 3600.0
    resync_interval: float = 60.0
    dns_listen: ListenAddress | None = None
    vxlan_tx_checksum: str = "auto"
    extension_command: tuple[str, ...] = ()
    allowed_network: tuple[IPv4Network | IPv6Network, ...] = ()
    udp_plane: str = "auto"
    wireguard_key_max_age: float = 0.0
    encryption: str = "off"
    config: Path | None = None
    """The file that was read, None if there was none."""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    """By option name, as in `etcd-endpoints`."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """One line each, about what was accepted but deserves the operator's eye; the daemon logs them once."""
