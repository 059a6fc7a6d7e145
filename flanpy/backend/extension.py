"""The extension backend: four operator commands connect the hosts (flannel's Documentation/extension.md).

PreStartupCommand runs before a subnet is leased, and its output is published in our lease; PostStartupCommand runs
once the subnet is leased; SubnetAddCommand and SubnetRemoveCommand run for each peer that comes and goes, with that
peer's published output on their standard input.

flannel runs whatever the network config says, as root: who can write to etcd owns every host (GHSA-vchx-5pr6-ffx2).
Here the config only *names* commands: each must be, word for word, one that this host's operator allows
(`extension-command`), and the operator's copy runs. There is no shell, and no data from etcd goes on a command
line: SUBNET, PUBLIC_IP and the like are in the environment.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flanpy.backend.advert import plain_record
from flanpy.backend.linkless import Linkless
from flanpy.backend.way import WayKind, Ways, one_way
from flanpy.errors import ConfigError
from flanpy.model.address import IPAddress
from flanpy.model.lease import BackendData, Lease, LeaseRecord, RawData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import ExtensionPeer, ExtensionStart, KernelObject
from flanpy.model.quoting import quoted
from flanpy.model.world import Policy, World

PRE, POST, ADD, REMOVE = "PreStartupCommand", "PostStartupCommand", "SubnetAddCommand", "SubnetRemoveCommand"
LONGEST_SHOWN: Final = 1000
"""Characters of a command in an error: the cure is to copy it."""

_SHELL: Final = "$`;|&<>\n"

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Commands:
    """The four commands, as words; an empty one is none."""

    pre: Argv = ()
    post: Argv = ()
    add: Argv = ()
    remove: Argv = ()


@dataclass(frozen=True, slots=True)
class ExtensionPeerPlanner:
    """Implements `plan.desired.PeerPlanner`."""

    fixed: tuple[KernelObject, ...] = field(compare=False)
    commands: Commands

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        yield ExtensionPeer(
            lease.key,
            _public_ips(lease.record),
            told(lease.record.backend_data),
            self.commands.add,
            self.commands.remove,
        )

    def unreached(self, lease: Lease) -> bool:
        return False


class ExtensionBackend(Linkless):
    """Implements `backend.port.Backend`. The commands' links belong to the operator, who
    also knows how much they take from the MTU, as in flannel."""

    cure = ""

    def validate(self, options: Mapping[str, object]) -> None:
        for name in (PRE, POST, ADD, REMOVE):
            _words(name, options.get(name.lower(), ""))

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return our record; None before PreStartupCommand has printed its output."""
        plain, commands = plain_record(world, "extension"), allowed(world)
        if plain is None or commands is None:
            return None
        if not commands.pre:
            return plain
        if world.printed is None or world.printed.command != commands.pre:
            return None
        data = RawData(json.dumps(world.printed.output, ensure_ascii=False))
        return replace(plain, backend_data=data)

    def planner(self, world: World) -> ExtensionPeerPlanner | None:
        commands, own, network = allowed(world), world.own, world.network
        if commands is None or own is None or network is None or world.facts.underlay is None:
            return None
        if commands.pre and (world.printed is None or world.printed.command != commands.pre):
            return None
        start = ExtensionStart(
            commands.post,
            own.key,
            tuple(range_ for family in network.families if (range_ := network.range(family)) is not None),
            _public_ips(own.record),
        )
        return ExtensionPeerPlanner((start,) if commands.post else (), commands)

    def ways(self, world: World) -> Ways:
        return one_way(WayKind.COMMAND)


def allowed(world: World) -> Commands | None:
    """Return the commands to run: the operator's, as the network config names them. None if it names others."""
    if world.network is None:
        return None
    texts = [_text(world.network, name) for name in (PRE, POST, ADD, REMOVE)]
    known = {text: tuple(shlex.split(text)) for text in world.policy.extension_commands} | {"": ()}
    if not all(text in known for text in texts):
        return None
    return Commands(*(known[text] for text in texts))


def refuse_unless_allowed(network: NetworkConfig, policy: Policy) -> None:
    """Refuse commands that are not allowed. Raises ConfigError that names the first one in the network config."""
    if network.backend_type != "extension":
        return
    for name in (PRE, POST, ADD, REMOVE):
        text = _text(network, name)
        if text and text not in policy.extension_commands:
            raise ConfigError(
                f"Backend.{name} of extension is {quoted(text, LONGEST_SHOWN)}, which this host does not allow: "
                "if it should run here as flanpyd's user, set extension-command to it"
            )


def told(data: BackendData | None) -> str:
    """Return a peer's published output, as flannel reads it: the text of a JSON string. Other JSON stays as is."""
    if not isinstance(data, RawData):
        return ""
    try:
        value = json.loads(data.json)
    except (ValueError, RecursionError):
        return data.json
    return value if isinstance(value, str) else data.json


def _text(network: NetworkConfig, name: str) -> str:
    value = network.backend_options.get(name.lower(), "")
    return value.strip() if isinstance(value, str) else ""


def _words(name: str, value: object) -> Argv:
    if not isinstance(value, str):
        raise ConfigError(
            f"Backend.{name} of extension is {quoted(value, LONGEST_SHOWN)}: give a command line as text"
        )
    if used := "".join(mark for mark in _SHELL if mark in value.strip()):
        raise ConfigError(
            f"Backend.{name} of extension is {quoted(value, LONGEST_SHOWN)}, in which {used!r} would need a shell: "
            "put it into a script, which finds SUBNET, PUBLIC_IP and the like in its environment"
        )
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ConfigError(
            f"Backend.{name} of extension is {quoted(value, LONGEST_SHOWN)}: {error}"
        ) from error


def _public_ips(record: LeaseRecord) -> tuple[IPAddress, ...]:
    return tuple(address for address in (record.public_ip, record.public_ip6) if address is not None)
