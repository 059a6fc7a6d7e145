"""Faults of the network between hosts: cables, lost packets, one way, black holes, blocked ports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from integration.faults.fault import Family, Ground, Kind, Part
from integration.hosts.cables import Fault

_network = partial(Kind, family=Family.NETWORK, part=Part.NIC)


def _while(fault: Fault) -> Iterator[None]:
    with fault:
        yield


def _cut(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.cut(ground.host))


def _link_down(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.link_down(ground.host))


def _silence(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.silence(ground.host))


def _loss(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.lose_on_host(ground.host, ground.random.choice((10, 30, 60))))


def _black_hole(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.set_switch_mtu(ground.host, ground.random.choice((1000, 1280, 1400))))


def _partition(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.partition([ground.host], [ground.other]))


def _one_way(ground: Ground) -> Iterator[None]:
    yield from _while(ground.lab.faults.one_way(ground.host, ground.other))


def _port_blocked(ground: Ground) -> Iterator[None]:
    ports = f'"{ground.host.seat.port}", "{ground.other.seat.port}"'
    match = f"iifname {{ {ports} }} oifname {{ {ports} }} udp dport 8472"
    yield from _while(ground.lab.faults.drop_on_switch(match))


def _flapping(ground: Ground) -> Iterator[None]:
    """The cable comes and goes five times, then stays."""
    for _ in range(5):
        with ground.lab.faults.cut(ground.host):
            ground.pause(ground.random.uniform(0.05, ground.blow.lasts / 10))
        ground.pause(ground.random.uniform(0.05, ground.blow.lasts / 10))
    yield


KINDS = (
    _network("cable_cut", strike=_cut, lasts=(0.5, 8)),
    _network("nic_down", strike=_link_down, lasts=(0.5, 6)),
    _network("host_silenced", strike=_silence, lasts=(0.5, 8)),
    _network("packets_lost", strike=_loss, lasts=(2, 8)),
    _network("black_hole", strike=_black_hole, lasts=(2, 8), breaks=False),
    _network("pair_parted", strike=_partition, lasts=(1, 8), hosts=2),
    _network("one_way", strike=_one_way, lasts=(1, 8), hosts=2),
    _network("port_blocked", strike=_port_blocked, lasts=(1, 8), hosts=2),
    _network("cable_flaps", strike=_flapping, lasts=(1, 6)),
)
