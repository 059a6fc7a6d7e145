"""The one table of options. Flags, environment names, file keys, help, documentation and completion come from it.

Names that flannel has are flannel's (v0.28), with its defaults, save one: its first etcd endpoint, port 4001, has been
etcd's port of before 2015 and is left out. The table has three parts, group by group: options of a lease,
options of traffic and of reports on it (here), and options of this host.
"""

from __future__ import annotations

from typing import Final

from flanpy.config import kinds
from flanpy.config.host_options import HOST_OPTIONS
from flanpy.config.lease_options import LEASE_OPTIONS
from flanpy.config.option import Option

GROUPS: Final = {
    "etcd": "etcd",
    "underlay": "Underlay link and public address",
    "subnet": "Subnet lease",
    "filter": "Packet filter",
    "listen": "Health and metrics",
    "page": "Status page",
    "probe": "Probes of other hosts",
    "docker": "Docker",
    "cloud": "Cloud routes",
    "log": "Logging",
    "host": "This host",
}

_TRAFFIC_OPTIONS: Final[tuple[Option, ...]] = (
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
        kind=kinds.choice("auto", "off", "containers", "strangers"),
        group="filter",
        own=True,
        help="drop encapsulated packets that containers send to hosts, or of senders without a lease; auto: the latter "
        "on hosts with a named network",
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
        help="address and port of /metrics, such as 127.0.0.1:8475",
    ),
    Option(
        name="page-listen",
        field="page.listen",
        kind=kinds.LISTEN,
        group="page",
        own=True,
        help="address and port of the status page, such as 127.0.0.1:8474, where all users of this host may look; "
        "elsewhere than on loopback it needs the three files",
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
        help="file whose first line, 16 characters or more, that a user of the status page must know",
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
)

OPTIONS: Final = (*LEASE_OPTIONS, *_TRAFFIC_OPTIONS, *HOST_OPTIONS)

BY_NAME: Final = {option.name: option for option in OPTIONS}
