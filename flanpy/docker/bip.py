"""Bip mode: daemon.json gets our keys, Docker is restarted if it may be, and what it then runs is verified.

Owns the order: look, merge, refuse, check, back up, write, restart, verify, roll back. Every step before the write
changes nothing; every failure after it puts the old file back and brings Docker up with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from flanpy.docker import config_file, dockerd, merge
from flanpy.docker.client import Container, Docker, why_silent
from flanpy.docker.config_file import Found
from flanpy.docker.effective import goal
from flanpy.docker.facts import DockerFacts
from flanpy.docker.merge import OWNED, Merged
from flanpy.docker.name_servers import KEY as DNS
from flanpy.docker.name_servers import NameServers
from flanpy.docker.restart import Choice, How, RestartPolicy, choose, restart, stopped_by, wait_for
from flanpy.docker.verdict import Silence
from flanpy.docker.wanted import Wanted
from flanpy.errors import DockerConflict, DockerError, DockerUnreachable

_KEEPS: Final = (
    "the file names no bip any more, and then Docker keeps what docker0 has (it is in its own store): to move docker0, "
    'set another bip, such as "172.17.0.1/16", and restart Docker'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerTarget:
    """The Docker to configure, and the rules for its treatment."""

    file: Path
    socket: Path
    policy: RestartPolicy
    how: How
    keep_masquerade: bool = False
    servers: NameServers = merge.NOBODY
    before_start: bool = False
    """Docker is about to start and waits for us: it is not asked anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BipPlan:
    """The plan of apply. `docker` is None if Docker does not run; `stops`: containers that a restart would stop."""

    file: Found
    content: bytes
    changes: tuple[merge.KeyChange, ...]
    docker: DockerFacts | None
    choice: Choice
    stops: tuple[Container, ...] = ()
    notes: tuple[str, ...] = ()
    pid: int | None = None
    keep_masquerade: bool = False
    for_bridge: bool = True
    """The bridge waits for a restart; else only `dns` does, which live-restore does not make void."""

    @property
    def writes(self) -> bool:
        return self.content != self.file.content

    @property
    def diff(self) -> str:
        """A unified diff of the file, '' if it stays."""
        if not self.writes:
            return ""
        old = (self.file.content or b"").decode(errors="replace").splitlines(keepends=True)
        new = self.content.decode(errors="replace").splitlines(keepends=True)
        name = str(self.file.path)
        before = name if self.file.content is not None else "/dev/null"
        lines = difflib.unified_diff(old, new, before, name)
        return "".join(
            line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of apply or rollback. `docker` is Docker's state at the end, None if it does not run."""

    plan: BipPlan
    restarted: bool = False
    docker: DockerFacts | None = None


def plan(place: DockerTarget, wanted: Wanted) -> BipPlan:
    """Look at everything and change nothing. Raises DockerError where apply would refuse."""
    found = config_file.read(place.file)
    settings = merge.settings_in(found.content, str(place.file))
    how = dockerd.started(dockerd.running_pid(settings))
    aim = goal(settings, how.flags, how.where, wanted)
    keep = place.keep_masquerade or aim.keep_masquerade
    merged = merge.merge(
        found.content, wanted, name=str(place.file), keep_masquerade=keep, servers=place.servers
    )
    dockerd.refuse_outside(how, wanted.subnet)
    planned = _planned(
        place,
        found,
        replace(merged, notes=(*merged.notes, *aim.notes)),
        lambda docker: not runs(docker, wanted, keep_masquerade=keep),
        subnet=wanted.subnet,
    )
    return replace(planned, keep_masquerade=keep)


def apply(place: DockerTarget, wanted: Wanted) -> Outcome:
    """Carry the plan out. Raises DockerError; the old daemon.json then stands and Docker runs with it."""
    with config_file.held(config_file.read(place.file).target):
        planned = plan(place, wanted)
        before = config_file.read_backup(planned.file)
        try:
            if planned.writes:
                keeps = merge.still_backs_up(before, planned.file.content, place.servers)
                config_file.replace(planned.file, planned.content, backup=not keeps)
            return _restarted(
                place,
                planned,
                lambda docker: runs(docker, wanted, keep_masquerade=planned.keep_masquerade),
            )
        except DockerError:
            config_file.restore_backup(planned.file, before)
            raise


def rollback_plan(place: DockerTarget) -> BipPlan:
    """Plan `rollback`. Raises DockerError if there is nothing to go back to."""
    found = config_file.read(place.file)
    backup = config_file.read_backup(found)
    if backup is None:
        raise DockerError(f"there is no backup '{found.backup}': nothing was changed, or it was put back")
    merged = merge.revert(found.content, backup, name=str(place.file), servers=place.servers)
    if any(change.key == "bip" and change.new is None for change in merged.changes):
        merged = replace(merged, notes=(*merged.notes, _KEEPS))
    return _planned(place, found, merged, lambda _: bool(merged.changes))


def rollback(place: DockerTarget) -> Outcome:
    """Give our keys the values that they had before the first apply. What others changed since stays."""
    with config_file.held(config_file.read(place.file).target):
        planned = rollback_plan(place)
        if planned.writes and planned.content == config_file.NO_FILE:
            config_file.put_back(replace(planned.file, content=None))
        elif planned.writes:
            config_file.replace(planned.file, planned.content, backup=False)
        config_file.drop_backup(planned.file)
        return _restarted(place, planned, lambda _: True)


def runs(docker: DockerFacts, wanted: Wanted, *, keep_masquerade: bool) -> bool:
    """Report whether docker0 is as wanted: its subnet, address, MTU and, unless kept, masquerading."""
    own = docker.default
    return (
        own is not None
        and (own.subnet, own.gateway) == (wanted.subnet, wanted.bridge_address.ip)
        and own.mtu == wanted.mtu
        and (keep_masquerade or own.masquerade == wanted.masquerade)
    )


def ask(
    socket: Path, pid: int | None, subnet: IPv4Network | None
) -> tuple[DockerFacts | None, tuple[Container, ...]]:
    """Return Docker's state and the containers that a restart would stop; None if it does not run.

    Does not start Docker. Raises DockerUnreachable if it runs and does not answer, DockerConflict if one of its
    networks has `subnet`.
    """
    if dockerd.starts_docker(socket, pid):
        return None, ()
    docker = Docker(socket)
    try:
        found = docker.look()
        if subnet is not None and (taken := docker.overlapping(subnet)):
            raise DockerConflict(
                f"Docker has {subnet} in the network '{taken[0]}' already, and does not start with a bip in it: "
                f"docker network rm {taken[0]}"
            )
        return found, stopped_by(docker, found)
    except DockerUnreachable as error:
        if why_silent(error) is Silence.NOT_RUNNING:
            return None, ()
        raise
    finally:
        docker.close()


def _planned(
    place: DockerTarget,
    found: Found,
    merged: Merged,
    differs: Callable[[DockerFacts], bool],
    *,
    subnet: IPv4Network | None = None,
) -> BipPlan:
    settings = merge.settings_in(merged.content, str(place.file))
    pid = dockerd.running_pid(settings)
    how = dockerd.started(pid)
    dockerd.refuse_conflicts(how, [key for key in OWNED if key in settings], place.file)
    unknown = dockerd.refuse_unusable(how, merged.content) if merged.content != found.content else ""
    docker, stops = (None, ()) if place.before_start else ask(place.socket, pid, subnet)
    for_bridge = docker is not None and differs(docker)
    needed = for_bridge or _waits_for_servers(place, merged, pid)
    choice = choose(docker, place.policy, needed=needed, for_bridge=for_bridge)
    return BipPlan(
        file=found,
        content=merged.content,
        changes=merged.changes,
        docker=docker,
        choice=choice,
        stops=stops,
        notes=(*merged.notes, *filter(None, [unknown])),
        pid=pid,
        for_bridge=for_bridge,
    )


def _waits_for_servers(place: DockerTarget, merged: Merged, pid: int | None) -> bool:
    """Report whether Docker has not read the `dns` that is asked for. Its API does not tell, so the times decide."""
    if not place.servers.asked_for or pid is None:
        return False
    if any(change.key == DNS for change in merged.changes):
        return True
    began, changed = dockerd.started_at(pid), config_file.changed_at(place.file)
    return began is not None and changed is not None and changed > began


def _restarted(place: DockerTarget, planned: BipPlan, good: Callable[[DockerFacts], bool]) -> Outcome:
    if planned.choice is not Choice.RESTART:
        return Outcome(plan=planned, docker=planned.docker)
    try:
        docker = _restart_and_wait(place, planned, planned.content, good)
    except DockerError as error:
        if not planned.writes:
            raise
        raise _rolled_back(place, planned, error) from error
    return Outcome(plan=planned, restarted=True, docker=docker)


def _restart_and_wait(
    place: DockerTarget, planned: BipPlan, content: bytes | None, good: Callable[[DockerFacts], bool]
) -> DockerFacts:
    """Restart Docker and return its state. Raises DockerError if it does not come up, or not in a `good` state."""
    settings = merge.settings_in(content, str(place.file))
    restart(place.how)
    docker = wait_for(
        place.socket, place.how.timeout, good, ended=lambda: dockerd.running_pid(settings) != planned.pid
    )
    if not good(docker):
        raise DockerError(f"Docker is up again, but its default bridge is {_text(docker)}")
    return docker


def _rolled_back(place: DockerTarget, planned: BipPlan, error: DockerError) -> DockerError:
    """Put the old file back and bring Docker up with it; what to tell the operator."""
    config_file.put_back(planned.file)
    try:
        _restart_and_wait(place, planned, planned.file.content, lambda _: True)
    except DockerError as second:
        return DockerError(
            f"{error}; the old {place.file} is back, but Docker is not up with it either: {second}"
        )
    return DockerError(f"{error}; the old {place.file} is back and Docker runs with it")


def _text(docker: DockerFacts) -> str:
    own = docker.default
    return "none" if own is None else f"{own.subnet} with MTU {own.mtu}, address {own.gateway}"
