"""daemon.json with our keys in it: which keys are ours, what they are to hold, and what forbids that.

Owns bip mode's content. Pure: text in, text out. Keys of others are never touched, not even their blanks.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from flanpy.docker import json_text
from flanpy.docker.json_text import Member
from flanpy.docker.name_servers import KEY as DNS
from flanpy.docker.name_servers import NameServers
from flanpy.docker.wanted import Wanted
from flanpy.errors import DockerConflict, DockerError
from flanpy.model.packet_filter import OVERLAY_MARK

BY_MARK: Final = {
    "allow-direct-routing": True,
    "bridge-accept-fwmark": f"{OVERLAY_MARK:#x}/{OVERLAY_MARK:#x}",
}
"""What Docker's nftables rules (29.0 on) need to pass overlay packets: no accept of others outdoes their drops."""

OWNED: Final = ("bip", "mtu", "ip-masq", *BY_MARK, DNS)
"""Keys that we may write. `ip-masq` is written only where Docker would do otherwise without it, `BY_MARK` only beside
`firewall-backend: nftables`, `dns` only where the operator asks for it."""

NOBODY: Final = NameServers()
"""No resolver: `dns` is the operator's alone."""

_WIDE: Final = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
                (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key of ours that is to change; None stands for a key that is not there."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Merged:
    """The content that daemon.json is to have, and how it differs from what it has. `notes` are for people."""

    content: bytes
    changes: tuple[KeyChange, ...] = ()
    notes: tuple[str, ...] = ()


def merge(
    content: bytes | None,
    wanted: Wanted,
    *,
    name: str,
    keep_masquerade: bool = False,
    servers: NameServers = NOBODY,
) -> Merged:
    """Return what `content` (None: no such file) must become. Raises DockerError where it must not be touched.

    Content that is right already comes back byte for byte, but for a byte-order mark.
    """
    text, notes = _decoded(content, name)
    members = json_text.read_object(text, name)
    _refuse(members, wanted, name, servers)
    changes = tuple(_changes(members, wanted, servers, keep_masquerade=keep_masquerade))
    for change in changes:
        notes += servers.notes(change.new) if change.key == DNS else ()
    notes += tuple(_wrong_types(changes))
    return Merged(_with(text, changes, name).encode(), changes, notes)


def revert(content: bytes | None, backup: bytes, *, name: str, servers: NameServers = NOBODY) -> Merged:
    """Return `content` with our keys as they are in `backup`; `backup` itself if nothing else differs."""
    before, now = settings_in(backup, f"{name} of before"), settings_in(content, name)
    ours = _ours(now, servers)
    former = {**before, DNS: servers.former(now, before)}
    changes = tuple(
        KeyChange(key, now.get(key), former.get(key)) for key in ours if now.get(key) != former.get(key)
    )
    same_dns = DNS not in ours or former.get(DNS) == before.get(DNS)
    if _others(before, ours) == _others(now, ours) and same_dns:
        return Merged(backup, changes)
    text, notes = _decoded(content, name)
    return Merged(
        _with(text, changes, name).encode(), changes, (*notes, "other keys were changed since: they stay")
    )


def forget_servers(content: bytes | None, backup: bytes | None, *, name: str, servers: NameServers) -> Merged:
    """Return `content` with `dns` as it was in `backup`; without a backup we did not write it. All other keys stay."""
    now = settings_in(content, name)
    if content is None or backup is None or not servers.are_in(now):
        return Merged(content or b"")
    former = servers.former(now, settings_in(backup, f"{name} of before"))
    if former == now[DNS]:
        return Merged(content)
    text, notes = _decoded(content, name)
    change = KeyChange(DNS, now[DNS], former)
    return Merged(_changed(text, change, name).encode(), (change,), notes)


def still_backs_up(backup: bytes | None, content: bytes | None, servers: NameServers = NOBODY) -> bool:
    """Report whether `backup` is the file as it was before us: our keys are in the file, and all others are as then."""
    if backup is None:
        return False
    try:
        before, now = settings_in(backup, "backup"), settings_in(content, "file")
    except DockerError:
        return False
    ours = _ours(now, servers)
    return "bip" in now and _others(before, ours) == _others(now, ours)


def _others(settings: dict[str, Any], ours: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ours}


def _ours(settings: dict[str, Any], servers: NameServers) -> tuple[str, ...]:
    not_ours = (() if _accepts_by_mark(settings) else tuple(BY_MARK)) + (
        () if servers.are_in(settings) else (DNS,)
    )
    return tuple(key for key in OWNED if key not in not_ours)


def _with(text: str, changes: tuple[KeyChange, ...], name: str) -> str:
    for change in changes:
        text = _changed(text, change, name)
    return text


def settings_in(content: bytes | None, name: str) -> dict[str, Any]:
    """Everything daemon.json says, {} without one. Raises DockerError as `merge` does."""
    text, _ = _decoded(content, name)
    return {member.key: member.value for member in json_text.read_object(text, name)}


def _decoded(content: bytes | None, name: str) -> tuple[str, tuple[str, ...]]:
    if content is None:
        return "{}\n", ()
    for mark, encoding in _WIDE:
        if content.startswith(mark):
            raise DockerError(f"'{name}' is {encoding}: save it as UTF-8, which is all that JSON may be")
    notes: tuple[str, ...] = ()
    if content.startswith(codecs.BOM_UTF8):
        content = content.removeprefix(codecs.BOM_UTF8)
        notes = ("the byte-order mark goes: JSON must not have one, and dockerd 20.10 refuses it",)
    if not content.strip():
        return "{}\n", (*notes, "the file is empty, which dockerd 20.10 refuses")
    try:
        return content.decode(), notes
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        column = cause.start - content.rfind(b"\n", 0, cause.start)
        raise DockerError(
            f"'{name}' is not UTF-8 at line {line}, byte {column}: correct it by hand"
        ) from cause


def _refuse(members: tuple[Member, ...], wanted: Wanted, name: str, servers: NameServers) -> None:
    ours = tuple(key for key in OWNED if key != DNS or servers.asked_for)
    found = {member.key: member.value for member in members}
    for key, count in Counter(member.key for member in members).items():
        if count > 1 and key in ours:
            raise DockerError(f"'{name}' has the key '{key}' {count} times: leave one")
        if key not in ours and key.lower() in ours:
            raise DockerError(
                f"'{name}' has the key '{key}', which dockerd does not know: write '{key.lower()}'"
            )
    if found.get("bridge"):
        raise DockerConflict(
            f"'{name}' has bridge {found['bridge']!r}, which dockerd takes only without bip: take it out, "
            "or use --mode network"
        )
    _refuse_other_mark(found, name)
    _refuse_outside(found, wanted, name)


def _refuse_other_mark(found: dict[str, Any], name: str) -> None:
    mark, ours = found.get("bridge-accept-fwmark"), BY_MARK["bridge-accept-fwmark"]
    if _accepts_by_mark(found) and mark and mark != ours:
        raise DockerConflict(
            f"'{name}' has bridge-accept-fwmark {mark!r}, and dockerd takes only one, which overlay packets would need "
            f"to be {ours}: take it out, or use --mode network"
        )


def _accepts_by_mark(found: dict[str, Any]) -> bool:
    return found.get("firewall-backend") == "nftables"


def _refuse_outside(found: dict[str, Any], wanted: Wanted, name: str) -> None:
    """Two keys that must lie inside the subnet, or dockerd does not start."""
    for key in ("fixed-cidr", "default-gateway"):
        text = found.get(key)
        if not isinstance(text, str) or not text:
            continue
        if not lies_in(text, wanted.subnet):
            raise DockerConflict(
                f"'{name}' has {key} {text}, which is not in this host's subnet {wanted.subnet}: take it out"
            )


def lies_in(text: str, subnet: IPv4Network) -> bool:
    """Report whether an address or a range in text form is part of the subnet."""
    try:
        part = ip_network(text)
    except ValueError:
        return False
    return isinstance(part, IPv4Network) and part.subnet_of(subnet)


def _changes(
    members: tuple[Member, ...], wanted: Wanted, servers: NameServers, *, keep_masquerade: bool
) -> list[KeyChange]:
    found = {member.key: member.value for member in members}
    target: dict[str, Any] = {"bip": str(wanted.bridge_address), "mtu": wanted.mtu}
    if not keep_masquerade and found.get("ip-masq", True) is not wanted.masquerade:
        target["ip-masq"] = wanted.masquerade
    if _accepts_by_mark(found):
        target |= BY_MARK
    if servers.asked_for:
        target[DNS] = servers.target(found)
    return [
        KeyChange(key, found.get(key), value)
        for key, value in target.items()
        if found.get(key) != value or type(found.get(key)) is not type(value)
    ]


def _changed(text: str, change: KeyChange, name: str) -> str:
    members = json_text.read_object(text, name)
    for member in members:
        if member.key == change.key:
            if change.new is None:
                return json_text.remove(text, members, member)
            return json_text.replace_value(text, member, change.new)
    return json_text.append(text, members, change.key, change.new)


def _wrong_types(changes: tuple[KeyChange, ...]) -> list[str]:
    return [
        f"{change.key} was {change.old!r}, which dockerd refuses: it is replaced"
        for change in changes
        if change.old is not None and type(change.old) is not type(change.new)
    ]
