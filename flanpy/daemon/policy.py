"""Turns the operator's settings into wishes for the planners and for the choice of the underlay. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address

from flanpy.config import Settings
from flanpy.host.node_id import advertised_name
from flanpy.kernel.underlay import UnderlayChoice
from flanpy.model.encryption import Encryption
from flanpy.model.offload import OffloadChoice
from flanpy.model.packet_filter import EncapsulationGuard, FilterChoice, FilterPolicy
from flanpy.model.world import Policy


def policy_of(settings: Settings, node_id: str) -> Policy:
    """Return the wishes that planners obey."""
    underlay = settings.underlay
    return Policy(
        node_id,
        underlay.public_ip,
        underlay.public_ipv6,
        OffloadChoice(settings.vxlan_tx_checksum),
        extension_commands=settings.extension_command,
        filter=_filter_policy(settings),
        blackhole=settings.filter.ip_blackhole_route,
        allowed_networks=settings.allowed_network,
        dns_address=_dns_address(settings),
        encryption=Encryption(settings.encryption),
        host_name=advertised_name(settings.host_name, node_id=settings.node_id),
    )


def _dns_address(settings: Settings) -> IPv4Address | None:
    listen = settings.dns_listen
    return listen.host if listen is not None and isinstance(listen.host, IPv4Address) else None


def _filter_policy(settings: Settings) -> FilterPolicy:
    rules = settings.filter
    return FilterPolicy(
        FilterChoice(rules.backend),
        forward=rules.iptables_forward_rules,
        masquerade=rules.ip_masq,
        random_ports=not rules.ip_masq_fully_random_disable,
        encapsulation=EncapsulationGuard(rules.encapsulation_guard),
    )


def underlay_choice(settings: Settings) -> UnderlayChoice:
    """Return the operator's wish of an underlay, for the monitor to follow."""
    underlay = settings.underlay
    public = tuple(one for one in (underlay.public_ip, underlay.public_ipv6) if one is not None)
    return UnderlayChoice(underlay.iface, underlay.iface_regex, underlay.iface_can_reach, public)
