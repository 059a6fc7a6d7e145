"""Keeps subnet.env in step with the passes of the reconcile loop.

The file is written once the device stands, for Docker must not be told of a subnet that leads nowhere. It is looked at
after each pass, so that a lost or altered file comes back with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flanpy.errors import HostError
from flanpy.host.subnet_env import SubnetEnv, write
from flanpy.log import get_logger
from flanpy.model.objects import Phase
from flanpy.model.world import World
from flanpy.reconcile.loop import Pass

log = get_logger()


class SubnetFile:
    """Writes subnet.env; `note` takes (text for status, error), one of them empty."""

    def __init__(self, path: Path, *, ip_masq: bool, note: Callable[[str, str], None]) -> None:
        self._path = path
        self._ip_masq = ip_masq
        self._note = note

    def after_pass(self, outcome: Pass, mtu: int) -> None:
        """Write the file if the backend stands and the file differs."""
        if outcome.decision.desired is None or _device_failed(outcome):
            return
        env = subnet_env(outcome.world, mtu, ip_masq=self._ip_masq)
        try:
            if write(self._path, env):
                log.info("subnet_file_written", path=self._path, subnet=env.subnet, mtu=mtu)
        except HostError as error:
            self._note("", str(error))
        else:
            self._note(f"{self._path}: {env.subnet or env.ipv6_subnet}, MTU {mtu}", "")


def subnet_env(world: World, mtu: int, *, ip_masq: bool) -> SubnetEnv:
    """The contents for a world that has a network and an own lease."""
    assert world.network is not None
    assert world.own is not None
    return SubnetEnv(
        network=world.network.network,
        subnet=world.own.key.subnet,
        ipv6_network=world.network.network6,
        ipv6_subnet=world.own.key.subnet6,
        mtu=mtu,
        ipmasq=ip_masq,
    )


def _device_failed(outcome: Pass) -> bool:
    conflicts = outcome.decision.difference.conflicts
    failed = any(failure.op.obj.phase <= Phase.LINK_UP for failure in outcome.failures)
    return failed or any(conflict.wanted.phase <= Phase.LINK_UP for conflict in conflicts)
