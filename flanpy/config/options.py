"""The one table of options. Flags, environment names, file keys, help, documentation and completion come from it.

Names that flannel has are flannel's (v0.28), with its defaults, save one: its first etcd endpoint, port 4001, has been
etcd's port of before 2015 and is left out. Defaults live in `settings.py`, beside the types.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from flanpy.config import kinds
from flanpy.config.kinds import Kind
from flanpy.config.settings import Settings

DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting. `own` is not flannel's, `secret` is never shown, `reloadable` takes effect on SIGHUP, a `credential`
    may be given as one of systemd's."""

    name: str
    field: str
    kind: Kind
    group: str
    help: str
    own: bool = False
    secret: bool = False
    reloadable: bool = False
    credential: bool = False
    in_file: bool = True
    seed_env: str = ""
    """The name in the sysconfig file of older packages, the weakest of the environment."""

    @property
    def env(self) -> tuple[str, ...]:
        """Environment names, strongest first."""
        stem = self.name.upper().replace("-", "_")
        names = (f"FLANPYD_{stem}", "" if self.own else f"FLANNELD_{stem}", self.seed_env)
        return tuple(name for name in names if name)

    @property
    def default(self) -> Any:
        """The typed value without any source."""
        return self.of(DEFAULTS)

    def of(self, settings: Settings) -> Any:
        """This option's typed value in `settings`."""
        return attrgetter(self.field)(settings)

    def text(self, settings: Settings) -> str:
        """This option's value as an operator would write it, masked if secret."""
        value = self.of(settings)
        return "********" if self.secret and value else self.kind.render(value)


GROUPS: Final = {
    "etcd": "etcd",
    "underlay": "Underlay link and public address",
    "subnet": "Subnet lease",
    "filter": "Packet filter",
    "listen": "Health and metrics",
    "page": "Status page",
    "probe": "Probes of other hosts",
    "docker": "Docker",
    "log": "Logging",
    "host": "This host",
}

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="etcd-endpoints",
        field="etcd.endpoints",
        kind=kinds.ENDPOINTS,
        group="etcd",
        reloadable=True,
        seed_env="FLANNEL_ETCD_ENDPOINTS",
        help="etcd's addresses, separated by commas",
    ),
    Option(
        name="etcd-prefix",
        field="etcd.prefix",
        kind=kinds.PREFIX,
        group="etcd",
        seed_env="FLANNEL_ETCD_PREFIX",
        help="where in etcd the network's config and leases are",
    ),
    Option(
        name="etcd-keyfile",
        field="etcd.keyfile",
        kind=kinds.OPTIONAL_PATH,
        group="etcd",
        credential=True,
        reloadable=True,
        help="key of the client certificate (PEM)",
    ),
    Option(
        name="etcd-certfile",
        field="etcd.certfile",
        kind=kinds.OPTIONAL_PATH,
        group="etcd",
        credential=True,
        reloadable=True,
        help="client certificate (PEM)",
    ),
    Option(
        name="etcd-cafile",
        field="etcd.cafile",
        kind=kinds.OPTIONAL_PATH,
        group="etcd",
        credential=True,
        reloadable=True,
        help="authority that signed etcd's certificate (PEM); without it the system's are trusted",
    ),
    Option(
        name="etcd-username",
        field="etcd.username",
        kind=kinds.TEXT,
        group="etcd",
        reloadable=True,
        help="etcd user",
    ),
    Option(
        name="etcd-password",
        field="etcd.password",
        kind=kinds.TEXT,
        group="etcd",
        reloadable=True,
        secret=True,
        credential=True,
        help="etcd password; a flag shows in the process list, so prefer the environment or the file",
    ),
    Option(
        name="iface",
        field="underlay.iface",
        kind=kinds.INTERFACES,
        group="underlay",
        help="link for traffic between hosts, by address or name; the first that exists; repeatable",
    ),
    Option(
        name="iface-regex",
        field="underlay.iface_regex",
        kind=kinds.REGEXES,
        group="underlay",
        help="link whose address, else whose name, matches; tried after --iface; repeatable",
    ),
    Option(
        name="iface-can-reach",
        field="underlay.iface_can_reach",
        kind=kinds.OPTIONAL_ADDRESS,
        group="underlay",
        help="link that the kernel routes this address through; tried after --iface-regex",
    ),
    Option(
        name="public-ip",
        field="underlay.public_ip",
        kind=kinds.PUBLIC_IPV4,
        group="underlay",
        help="IPv4 address that other hosts send to, if it is not the link's",
    ),
    Option(
        name="public-ipv6",
        field="underlay.public_ipv6",
        kind=kinds.PUBLIC_IPV6,
        group="underlay",
        help="IPv6 address that other hosts send to, if it is not the link's",
    ),
    Option(
        name="subnet-file",
        field="subnet_file",
        kind=kinds.PATH,
        group="subnet",
        help="where to write the subnet, network and MTU for Docker",
    ),
    Option(
        name="subnet-lease-renew-margin",
        field="subnet_lease_renew_margin",
        kind=kinds.duration(unit="minutes", low=1),
        group="subnet",
        reloadable=True,
        help="renew the lease when it has less than this left",
    ),
    Option(
        name="subnet-lease-ttl",
        field="subnet_lease_ttl",
        kind=kinds.whole_duration(low=2),
        group="subnet",
        own=True,
        help="how long a lease lives without renewal",
    ),
    Option(
        name="ip-masq",
        field="filter.ip_masq",
        kind=kinds.SWITCH,
        group="filter",
        help="masquerade what leaves the overlay",
    ),
    Option(
        name="ip-masq-fully-random-disable",
        field="filter.ip_masq_fully_random_disable",
        kind=kinds.SWITCH,
        group="filter",
        help="let masquerading choose ports in order, not at random",
    ),
    Option(
        name="iptables-resync",
        field="filter.iptables_resync",
        kind=kinds.duration(low=1),
        group="filter",
        reloadable=True,
        help="how often rules are read back",
    ),
    Option(
        name="iptables-forward-rules",
        field="filter.iptables_forward_rules",
        kind=kinds.SWITCH,
        group="filter",
        help="accept forwarded packets from and to the overlay",
    ),
    Option(
        name="ip-blackhole-route",
        field="filter.ip_blackhole_route",
        kind=kinds.SWITCH,
        group="filter",
        help="drop packets for own addresses that no container has",
    ),
    Option(
        name="filter-backend",
        field="filter.backend",
        kind=kinds.choice("auto", "nft", "iptables-nft", "iptables-legacy", "off"),
        group="filter",
        own=True,
        help="which packet filter rules go into: auto is Docker's, else the system's; off: none",
    ),
    Option(
        name="encapsulation-guard",
        field="filter.encapsulation_guard",
        kind=kinds.choice("off", "containers", "strangers"),
        group="filter",
        own=True,
        help="drop encapsulated packets that containers send to hosts, or of all whom no lease names",
    ),
    Option(
        name="healthz-ip",
        field="listen.healthz_ip",
        kind=kinds.ADDRESS,
        group="listen",
        help="address of the health probes",
    ),
    Option(
        name="healthz-port",
        field="listen.healthz_port",
        kind=kinds.PORT_OR_OFF,
        group="listen",
        help="port of /healthz and /readyz; 0 is off",
    ),
    Option(
        name="metrics-listen",
        field="listen.metrics_listen",
        kind=kinds.LISTEN,
        group="listen",
        own=True,
        help="address and port of /metrics, such as 127.0.0.1:9817",
    ),
    Option(
        name="page-listen",
        field="page.listen",
        kind=kinds.LISTEN,
        group="page",
        own=True,
        help="address and port of the status page, or off; elsewhere than on loopback it needs the three files",
    ),
    Option(
        name="page-cert",
        field="page.cert",
        kind=kinds.OPTIONAL_PATH,
        group="page",
        own=True,
        credential=True,
        help="certificate chain of the status page, PEM; it is served by https then",
    ),
    Option(
        name="page-key",
        field="page.key",
        kind=kinds.OPTIONAL_PATH,
        group="page",
        own=True,
        credential=True,
        help="private key of page-cert, PEM",
    ),
    Option(
        name="page-token-file",
        field="page.token_file",
        kind=kinds.OPTIONAL_PATH,
        group="page",
        own=True,
        credential=True,
        help="file whose first line, 16 characters or more, whoever opens the status page must know",
    ),
    Option(
        name="probe",
        field="probe.on",
        kind=kinds.SWITCH,
        group="probe",
        own=True,
        help="measure how well each peer is reached",
    ),
    Option(
        name="probe-interval",
        field="probe.interval",
        kind=kinds.duration(low=0.2),
        group="probe",
        own=True,
        reloadable=True,
        help="how often peers are probed",
    ),
    Option(
        name="mesh-port",
        field="probe.mesh_port",
        kind=kinds.PORT_OR_OFF,
        group="probe",
        own=True,
        help="port at the overlay address by which hosts tell each other what they measured; 0 is off",
    ),
    Option(
        name="docker-mode",
        field="docker.mode",
        kind=kinds.choice("auto", "bip", "network", "off"),
        group="docker",
        own=True,
        help="how Docker gets the subnet: as its default bridge (bip) or as a network of its own; off looks away",
    ),
    Option(
        name="docker-socket",
        field="docker.socket",
        kind=kinds.PATH,
        group="docker",
        own=True,
        help="Docker's socket; where it can be read, what Docker really runs is followed",
    ),
    Option(
        name="docker-config-file",
        field="docker.config_file",
        kind=kinds.PATH,
        group="docker",
        own=True,
        help="dockerd's settings file",
    ),
    Option(
        name="docker-restart",
        field="docker.restart",
        kind=kinds.choice("never", "if-idle", "always"),
        group="docker",
        own=True,
        help="whether flanpyctl docker may restart Docker; if-idle is while no container runs",
    ),
    Option(
        name="docker-restart-command",
        field="docker.restart_command",
        kind=kinds.TEXT,
        group="docker",
        own=True,
        help="the command that restarts Docker, run without a shell",
    ),
    Option(
        name="docker-restart-timeout",
        field="docker.restart_timeout",
        kind=kinds.duration(low=1),
        group="docker",
        own=True,
        help="how long Docker may take until it answers again; then the old file is put back",
    ),
    Option(
        name="log-format",
        field="log.format",
        kind=kinds.choice("auto", "json", "console"),
        group="log",
        own=True,
        reloadable=True,
        help="form of log lines; auto is console on a terminal, else json",
    ),
    Option(
        name="log-level",
        field="log.level",
        kind=kinds.choice("debug", "info", "warning", "error"),
        group="log",
        own=True,
        reloadable=True,
        help="least urgent lines to log",
    ),
    Option(
        name="node-id",
        field="node_id",
        kind=kinds.NODE_ID,
        group="host",
        own=True,
        help="this host's identity in leases; without it a hash of the machine id",
    ),
    Option(
        name="state-dir",
        field="state_dir",
        kind=kinds.PATH,
        group="host",
        own=True,
        help="where the lease is kept over reboots",
    ),
    Option(
        name="run-dir",
        field="run_dir",
        kind=kinds.PATH,
        group="host",
        own=True,
        help="where the lock and the control socket are",
    ),
    Option(
        name="resync-interval",
        field="resync_interval",
        kind=kinds.duration(low=0.1),
        group="host",
        own=True,
        reloadable=True,
        help="how often the kernel is read back without a cause",
    ),
    Option(
        name="vxlan-tx-checksum",
        field="vxlan_tx_checksum",
        kind=kinds.SWITCH,
        group="host",
        own=True,
        help="leave checksum offload on; some network cards then send wrong checksums",
    ),
    Option(
        name="udp-plane",
        field="udp_plane",
        kind=kinds.choice("auto", "kernel", "user"),
        group="host",
        own=True,
        help="what carries packets of the udp backend: eBPF in the kernel, a process, or the best that can run here",
    ),
    Option(
        name="extension-command",
        field="extension_command",
        kind=kinds.COMMANDS,
        group="host",
        own=True,
        help="command that the extension backend may run here, word for word as in the network config; repeatable",
    ),
    Option(
        name="config",
        field="config",
        kind=kinds.OPTIONAL_PATH,
        group="host",
        own=True,
        in_file=False,
        help="settings file (TOML; keys are these names)",
    ),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
