"""Judges what Docker really runs by what the overlay asks of it: the condition DockerConsistent.

Owns the reasons and their cures, for the daemon's status and for `flanpyctl docker status` alike. Pure. What cannot be
known is Unknown and healthy: the overlay does not need Docker, so a Docker that is away, forbidden or stuck is no
trouble of ours. Neither is one that was never given our network, unless a mode was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from flanpy.docker.facts import DockerFacts, DockerNetwork, Version
from flanpy.docker.wanted import Wanted
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.printable import plural

GATEWAY_MODES: Final = Version(28, 0)
"""From here on Docker drops what does not come through its own bridge, and has gateway modes to open a network."""


class Mode(Enum):
    """The way Docker gets our subnet. AUTO is the network mode where Docker has our network, else bip."""

    AUTO = "auto"
    BIP = "bip"
    NETWORK = "network"
    OFF = "off"


class Silence(Enum):
    """Why nothing is known of Docker. The value is the condition's reason."""

    NOT_RUNNING = "NotRunning"
    FORBIDDEN = "SocketForbidden"
    HUNG = "Hung"
    ELSEWHERE = "AnotherNetwork"
    STRANGE = "NotUnderstood"


@dataclass(frozen=True, slots=True)
class Silent:
    """A look that found out nothing; `detail` is one line for people."""

    why: Silence
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerLook:
    """All that one look at Docker found out.

    `told` is daemon.json's bip, '' if it has none or cannot be read; the other `told_*` say whether it opens Docker's
    filter. `over_mtu` names the ports of Docker's bridge that take larger packets than the overlay carries: a
    container's MTU is fixed when it starts.
    """

    found: DockerFacts | Silent
    told: str = ""
    told_direct_routing: bool = False
    told_accept_mark: bool = False
    over_mtu: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerStandard:
    """The standard for judging a look. `accepts`: our packet filter keeps accept rules for the overlay in place."""

    mode: Mode
    wanted: Wanted | None
    accepts: bool = True


_KIND: Final = ConditionType.DOCKER_CONSISTENT
_SILENT_HINTS: Final = {
    Silence.NOT_RUNNING: "",
    Silence.FORBIDDEN: ", which would make flanpyd as good as root; 'flanpyctl docker status', run by root, tells",
    Silence.HUNG: "; see the log of dockerd, the overlay goes on without it",
    Silence.ELSEWHERE: "; name this host's own with --docker-socket",
    Silence.STRANGE: "; name Docker's socket with --docker-socket",
}
_APPLY: Final = "run: flanpyctl docker apply"


def judge(look: DockerLook | None, asked: DockerStandard) -> Condition:
    """The condition; `since` is the board's business."""
    if asked.mode is Mode.OFF:
        return _good("NotWatched", "docker-mode is off", status=Status.UNKNOWN)
    if look is None:
        return _good("NotRead", "Docker was not looked at yet", status=Status.UNKNOWN)
    if isinstance(look.found, Silent):
        silent = look.found
        return _good(silent.why.value, silent.detail + _SILENT_HINTS[silent.why], status=Status.UNKNOWN)
    if asked.wanted is None:
        return _good("NoSubnet", "no subnet is leased yet that Docker could have", status=Status.UNKNOWN)
    if _by_network(look.found, asked.mode):
        return _judge_network(look, look.found, asked.wanted)
    return _judge_default(look, look.found, asked, asked.wanted)


def needs_accepts(look: DockerLook, asked: DockerStandard) -> bool:
    """Report whether overlay packets reach containers only while our packet filter keeps accept rules for them."""
    found = look.found
    return (
        isinstance(found, DockerFacts)
        and found.version >= GATEWAY_MODES
        and not _by_network(found, asked.mode)
        and not look.told_direct_routing
    )


def judged_network(found: DockerFacts, mode: Mode) -> DockerNetwork | None:
    """The network that carries our subnet, or should."""
    return found.own if _by_network(found, mode) else found.default


def _by_network(found: DockerFacts, mode: Mode) -> bool:
    return mode is Mode.NETWORK or (mode is Mode.AUTO and found.own is not None and found.own.ours)


def _good(reason: str, message: str, *, status: Status = Status.TRUE) -> Condition:
    return Condition(_KIND, status, reason, message, healthy=True)


def _bad(reason: str, message: str, cure: str) -> Condition:
    return Condition(_KIND, Status.FALSE, reason, message, healthy=False, cure=cure)


def _judge_network(look: DockerLook, found: DockerFacts, wanted: Wanted) -> Condition:
    cure = f"{_APPLY} --mode network"
    own = found.own
    if own is None:
        return _bad("NetworkMissing", "Docker has no network of ours on this host's subnet", cure)
    if not own.ours:
        text = f"Docker's network '{own.name}' is not flanpy's"
        return _bad("NetworkTaken", text, f"remove it, then {cure}")
    if own.subnet != wanted.subnet:
        return _bad("BridgeDiffers", f"'{own.name}' is {own.subnet}, leased is {wanted.subnet}", cure)
    if own.masquerade:
        return _bad("Masquerades", f"Docker masquerades what leaves '{own.name}' for the overlay", cure)
    if found.version >= GATEWAY_MODES and own.gateway_mode not in {"nat-unprotected", "routed"}:
        text = f"Docker {found.version} drops what reaches '{own.name}' over the overlay"
        return _bad("EngineDropsUs", text, cure)
    return _judge_mtu(look, own, wanted, cure)


def _judge_default(look: DockerLook, found: DockerFacts, asked: DockerStandard, wanted: Wanted) -> Condition:
    own = found.default
    if own is None or own.subnet != wanted.subnet or own.gateway != wanted.bridge_address.ip:
        return _judge_difference(look, found, asked, wanted)
    if _drops(look, found, asked):
        return _bad("EngineDropsUs", *_dropping(found))
    return _judge_mtu(look, own, wanted, f"{_APPLY} --restart always")


def _judge_difference(
    look: DockerLook, found: DockerFacts, asked: DockerStandard, wanted: Wanted
) -> Condition:
    """docker0 is not on our subnet: who is to do what about it?"""
    has = "Docker has no default bridge"
    if found.default is not None:
        has = f"{found.default.bridge} is {found.default.subnet}, leased is {wanted.subnet}"
    if look.told == str(wanted.bridge_address):
        if found.live_restore and found.running:
            text = f"{has}: with live-restore Docker keeps the old bip while containers run ({found.running} now)"
            return _bad("LiveRestoreKeptOldBip", text, "stop the containers, then restart Docker")
        return _bad("RestartPending", f"{has}: daemon.json says so already", "restart Docker")
    ours_before = found.default is not None and _overlaps(found.default, wanted)
    if asked.mode is Mode.AUTO and not ours_before:
        return _good("NotWired", f"Docker does not use the overlay: {has}; {_APPLY}", status=Status.FALSE)
    return _bad("BridgeDiffers", has, _APPLY)


def _overlaps(network: DockerNetwork, wanted: Wanted) -> bool:
    return network.subnet is not None and network.subnet.overlaps(wanted.network)


def _drops(look: DockerLook, found: DockerFacts, asked: DockerStandard) -> bool:
    if found.version < GATEWAY_MODES:
        return False
    if found.filter.startswith("nftables"):  # an accept in a table of ours does not undo a drop in Docker's
        return not (look.told_direct_routing and look.told_accept_mark)
    return not asked.accepts and not look.told_direct_routing


def _dropping(found: DockerFacts) -> tuple[str, str]:
    text = f"Docker {found.version} drops what reaches containers over the overlay"
    if found.filter.startswith("nftables"):
        return (
            f"{text}, and its firewall backend nftables leaves us no say",
            f"{_APPLY} (it sets bridge-accept-fwmark where daemon.json names the firewall-backend), or --mode network",
        )
    return f"{text}, and iptables-forward-rules is off", "set iptables-forward-rules, or use --mode network"


def _judge_mtu(look: DockerLook, network: DockerNetwork, wanted: Wanted, cure: str) -> Condition:
    if network.mtu > wanted.mtu:
        text = f"{network.bridge} gives containers MTU {network.mtu}, the overlay carries {wanted.mtu}"
        return _bad("MTUDiffers", text, cure)
    if look.over_mtu:
        count, names = len(look.over_mtu), ", ".join(look.over_mtu[:3])
        text = (
            f"the MTU of {plural(count, 'running container')} is over the overlay's {wanted.mtu} "
            f"({names} at {network.bridge}): it was fixed when they started"
        )
        return _bad("MTUOfContainers", text, "start those containers again")
    return _good("Consistent", f"{network.bridge} is {network.subnet} with MTU {network.mtu}")
