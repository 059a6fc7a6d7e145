"""`flanpyctl cleanup`: remove what flanpyd left on this host, and nothing else.

Owns the asking and the order: routes at a cloud provider, the kernel, subnet.env, the daemon's own files, the lease in
etcd last, so that an interrupted cleanup can be repeated. What is ours is decided by `plan.ownership`, as for the
daemon: an unmarked `flannel.1` that flannel left is not.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from flanpy.cli.base.control import SOCKET_NAME
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.wording import plural
from flanpy.cli.leave.cloud_routes import CloudLeft, cloud_left
from flanpy.cli.leave.container_links import links_left, remove_links
from flanpy.cli.leave.docker_servers import remove_resolver, resolver_left
from flanpy.cluster import copy, place
from flanpy.errors import AlreadyRunning, KernelError
from flanpy.files.atomic import host_error
from flanpy.host import (
    cloud_file,
    drain_file,
    events_file,
    extension,
    lock,
    names_view_file,
    networks_file,
    node_id,
    offload_file,
    state_file,
    subnet_env,
    tunnel_file,
)
from flanpy.host.absent import Absent
from flanpy.host.extension_left import ExtensionLeft, command_line
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.composite import CompositeKernel
from flanpy.kernel.port import Kernel
from flanpy.model.objects import ExtensionPeer
from flanpy.model.ops import Op, Scope
from flanpy.model.packet_filter import FilterChain, FilterJump
from flanpy.model.quoting import quoted
from flanpy.netfilter.part import FilterPart
from flanpy.plan.diff import cleanup_ops
from flanpy.plan.ownership import split
from flanpy.plan.render import render
from flanpy.udp.leftovers import leftovers

T = TypeVar("T")

_MOST_REMARKS: Final = 5
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Remains:
    """The objects of ours on this host: operations that remove them from the kernel, and files.

    `left` is the content of extension.json as it was read: the commands shown are the commands run, whatever the file
    holds by then.
    """

    ops: tuple[Op, ...]
    files: tuple[Path, ...]
    left: ExtensionLeft

    @property
    def lines(self) -> list[str]:
        """As shell lines."""
        return [*map(_line, self.ops), *(f"rm {path}" for path in self.files)]

    @property
    def remarks(self) -> list[str]:
        """One line for each command that is not run."""
        counts = Counter(shlex.join(peer.remove) for peer in self.left.refused)
        lines = [
            f"not run for {plural(count, 'peer')}, as extension-command does not name it: {quoted(text, _LONGEST)}"
            for text, count in counts.most_common(_MOST_REMARKS)
        ]
        more = len(counts) - len(lines)
        return [*lines, *([f"not run, as extension-command does not name them: {more} more"] if more else [])]


def _line(op: Op) -> str:
    return command_line(op.obj) if isinstance(op.obj, ExtensionPeer) else render(op)


def cleanup(arguments: Namespace, host: Host) -> Exit:
    """Show, ask, remove. REFUSED while a daemon runs, or without a yes."""
    held = _held_lock(host, force=arguments.force)
    in_use = held is None and (host.settings.run_dir / lock.FILE_NAME).exists()
    try:
        cloud = CloudLeft() if in_use else cloud_left(host)
        remains = found(host, in_use=in_use, keep_subnet_file=arguments.keep_subnet_file)
        remains = _told(cloud.problems, remains)
        linked, named = links_left(), resolver_left(host)
        lines = [
            *cloud.lines,
            *linked,
            *named,
            *remains.lines,
            *(["flanpyctl subnets release own"] if arguments.release else []),
        ]
        if not lines:
            print("nothing of ours is here")
            return Exit.OK
        print("\n".join(lines))
        _tell_refused(remains)
        if arguments.dry_run:
            return Exit.OK
        _ask(arguments, len(lines))
        stay = cloud.remove(host)
        held_back = remove_links(host, linked) + remove_resolver(host, named)
        remains = _told(stay, remains)
        _remove(remains, host)
        if arguments.release:
            _release(host)
    finally:
        if held is not None:
            held.release()
    gone = len(cloud.lines) - len(stay) + len(linked) + len(named) - held_back + len(remains.lines)
    print(f"removed: {plural(gone, 'object')}")
    return Exit.OK


def _told(problems: tuple[str, ...], remains: Remains) -> Remains:
    """Tell why cloud routes stay; if any does, cloud.json stays too, for another cleanup."""
    if not problems:
        return remains
    print("\n".join(problems), file=sys.stderr)
    return replace(remains, files=tuple(f for f in remains.files if f.name != cloud_file.FILE_NAME))


def _held_lock(host: Host, *, force: bool) -> lock.RunLock | None:
    """The daemon's lock, so that none starts meanwhile; None if there is none, or with `force` if it is taken."""
    run_dir = host.settings.run_dir
    if not (run_dir / lock.FILE_NAME).exists():
        return None
    try:
        return lock.RunLock.acquire(run_dir, node_id="flanpyctl cleanup")
    except AlreadyRunning as error:
        if force:
            return None
        raise CommandError(
            Exit.REFUSED,
            f"{error.conflict}: stop it first; with --force it would put everything back",
        ) from error


def found(host: Host, *, in_use: bool, keep_subnet_file: bool = False) -> Remains:
    """Find the objects to remove; the lease on disk, the socket and the lock stay while a daemon has them `in_use`."""
    return _remains(host, tuple(_files(host, in_use=in_use, subnet_file=not keep_subnet_file)))


def _remains(host: Host, files: tuple[Path, ...]) -> Remains:
    left = ExtensionLeft(host.settings.run_dir, host.settings.extension_command)
    memory = host.settings.run_dir / extension.FILE_NAME
    if left.found and memory not in files:  # a daemon that runs must not have a later cleanup do it again
        files += (memory,)
    return Remains(_with_kernel(left, _kernel_ops), files, left)


def _tell_refused(remains: Remains) -> None:
    for line in remains.remarks:
        print(line, file=sys.stderr)


def sweep(host: Host) -> int:
    """Remove all that an idle daemon left in the kernel, and its subnet.env; how many things went."""
    remains = found(host, in_use=True)
    print("\n".join(remains.lines) or "nothing of ours is here")
    _tell_refused(remains)
    _remove(remains, host)
    return len(remains.lines)


async def _kernel_ops(kernel: Kernel) -> tuple[Op, ...]:
    return tuple(op for op in cleanup_ops(split(await kernel.read_back(Scope()))) if not _is_of_flannel(op))


def _is_of_flannel(op: Op) -> bool:
    return isinstance(op.obj, FilterChain | FilterJump) and op.obj.is_leftover


def _with_kernel(left: ExtensionLeft, work: Callable[[Kernel], Awaitable[T]]) -> T:
    async def run() -> T:
        kernel, packet_filter = NetlinkKernel(), FilterPart(sweeping=True)
        try:
            parts = (leftovers(), left, packet_filter)
            return await work(CompositeKernel(kernel, parts))
        finally:
            kernel.close()
            packet_filter.close()

    return asyncio.run(run())


def _files(host: Host, *, in_use: bool, subnet_file: bool) -> list[Path]:
    settings = host.settings
    wanted = [settings.subnet_file] if subnet_file and _wrote(settings.subnet_file, host) else []
    if not in_use:
        wanted += [
            settings.state_dir / state_file.FILE_NAME,
            settings.state_dir / drain_file.FILE_NAME,
            settings.state_dir / cloud_file.FILE_NAME,
            settings.state_dir / events_file.FILE_NAME,
            settings.state_dir / networks_file.FILE_NAME,
            settings.state_dir / names_view_file.FILE_NAME,
            *(settings.state_dir / name for name in (copy.FILE, place.FILE, place.AUTHORITY_FILE)),
            settings.run_dir / tunnel_file.FILE_NAME,
            settings.run_dir / extension.FILE_NAME,
            settings.run_dir / offload_file.FILE_NAME,
            settings.run_dir / SOCKET_NAME,
            settings.run_dir / lock.FILE_NAME,
        ]
    return [path for path in wanted if path.is_socket() or path.exists()]


def _wrote(subnet_file: Path, host: Host) -> bool:
    """subnet.env is ours if it names the subnet of our lease on disk, or of the drain; flannel has such a file, too."""
    written = subnet_env.read(subnet_file)
    saved = state_file.load(host.settings.state_dir, node_id=host.node_id or "")
    drained = drain_file.load(host.settings.state_dir)
    key = (drained.key if drained else None) if isinstance(saved, Absent) else saved.key
    if isinstance(written, Absent) or key is None:
        return False
    return (written.subnet, written.ipv6_subnet) == (key.subnet, key.subnet6)


def _ask(arguments: Namespace, count: int) -> None:
    if arguments.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(Exit.REFUSED, "nothing was removed: there is no terminal to ask on, say --yes")
    print(f"Remove {'this' if count == 1 else 'these'}? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError(Exit.REFUSED, "nothing was removed")


def _remove(remains: Remains, host: Host) -> None:
    _with_kernel(remains.left, lambda kernel: _apply(kernel, remains.ops))
    for path in remains.files:
        try:
            path.unlink(missing_ok=True)
        except OSError as cause:
            raise host_error("remove", path, cause) from cause
    for directory in (host.settings.run_dir, host.settings.state_dir):
        with suppress(OSError):  # not empty: something there is not ours
            directory.rmdir()


async def _apply(kernel: Kernel, ops: tuple[Op, ...]) -> None:
    failures = await kernel.apply(ops)
    if failures:
        first = failures[0]
        more = f" (and {plural(len(failures) - 1, 'more failure')})" if len(failures) > 1 else ""
        raise KernelError(f"{render(first.op)}: {first.error}{more}; has this user CAP_NET_ADMIN?")


def _release(host: Host) -> None:
    """Give our lease back, and then the made-up identity too, which nothing needs any more."""
    from flanpy.cli.subnets.holding import release_own

    release_own(host)
    path = host.settings.state_dir / node_id.FILE_NAME
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise host_error("remove", path, cause) from cause
