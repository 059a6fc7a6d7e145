"""The options of what a host needs for its lease: etcd, the underlay, and the lease itself."""

from __future__ import annotations

from typing import Final

from flanpy.config import kinds
from flanpy.config.option import Option

LEASE_OPTIONS: Final[tuple[Option, ...]] = (
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
)
