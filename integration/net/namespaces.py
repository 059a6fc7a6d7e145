"""Owns how the lab acts inside a network namespace: batches of `ip`, commands, sockets, sysctls, and who lives there.

It must not know what a host or an etcd is. In goes a namespace's name (as under /run/netns), out come texts, parsed
JSON and connected sockets. Nothing here touches the namespace the caller runs in.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

NETNS_DIR = Path("/run/netns")
DEFAULT_TIMEOUT_S = 60.0
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class LabError(RuntimeError):
    """Something the lab was asked to do did not work; one line names what."""


def enter_argv(namespace: str) -> list[str]:
    """The prefix that runs a command in `namespace`.

    nsenter, not `ip netns exec`: the latter remounts /sys and hides the cgroups, and nsenter with only --net execs in
    place, so the pid of the child is the pid of the command.
    """
    return ["nsenter", f"--net={NETNS_DIR / namespace}", "--"]


def run_in(
    namespace: str,
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = DEFAULT_TIMEOUT_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace to its end, with `env` added to ours; LabError with its stderr when it failed."""
    if not namespace:
        return run(argv, check=check, timeout=timeout, stdin=stdin, env=env)
    try:
        return run([*enter_argv(namespace), *argv], check=check, timeout=timeout, stdin=stdin, env=env)
    except LabError as error:
        raise LabError(f"{namespace}: {str(error).partition(' -- ')[2]}") from error


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = DEFAULT_TIMEOUT_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command here to its end, with a deadline in seconds."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(argv)}: no end after {timeout} s") from late
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def ip_batch(namespace: str | None, lines: Iterable[str], *, force: bool = False) -> None:
    """Hand all lines to one `ip -batch`; `force` goes on after a line that fails (for tearing down)."""
    text = "\n".join(lines)
    if not text:
        return
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, *(["-force"] if force else []), "-batch", "-"], stdin=text + "\n", check=not force)


def tool_json(tool: str, namespace: str, *args: str) -> Any:
    """Return the parsed output of `ip -j` or `bridge -j` in a namespace; an empty answer is an empty list."""
    return json.loads(run([tool, "-n", namespace, "-j", *args]).stdout or "[]")


def in_namespace(namespace: str, work: Callable[[], T]) -> T:
    """Run `work` in a thread that has entered the namespace; the sockets it opens stay there for good."""
    answer: list[T] = []
    trouble: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _set_namespace(namespace)
            answer.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            trouble.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"in-{namespace}")
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]
    return answer[0]


def _set_namespace(namespace: str) -> None:
    fd = os.open(NETNS_DIR / namespace, os.O_RDONLY)
    try:
        if _libc.setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(fd)


def connect(namespace: str, address: tuple[str, int], *, timeout: float) -> socket.socket:
    """A TCP connection made from inside the namespace ("": ours); usable from any thread afterwards."""
    if not namespace:
        return socket.create_connection(address, timeout=timeout)
    return in_namespace(namespace, lambda: socket.create_connection(address, timeout=timeout))


def set_sysctls(namespace: str, values: dict[str, str]) -> None:
    """Write sysctls (keys as under /proc/sys, with slashes) in the namespace; a key this kernel lacks is an error."""

    def write() -> None:
        for key, value in values.items():
            Path("/proc/sys", key).write_text(value)

    in_namespace(namespace, write)


def sysctl(namespace: str, key: str) -> str:
    """Read one sysctl (a key with slashes) as the namespace sees it."""
    return in_namespace(namespace, lambda: Path("/proc/sys", key).read_text().strip())


def names_with(prefix: str) -> list[str]:
    """The named namespaces that begin with `prefix`, sorted."""
    if not NETNS_DIR.is_dir():
        return []
    return sorted(entry.name for entry in NETNS_DIR.iterdir() if entry.name.startswith(prefix))


def pids_in(namespaces: Iterable[str]) -> list[int]:
    """Every process whose network namespace is one of these, in one walk over /proc."""
    wanted = {(NETNS_DIR / name).stat().st_ino for name in namespaces if (NETNS_DIR / name).exists()}
    return [pid for pid in _all_pids() if _namespace_inode(pid) in wanted]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _namespace_inode(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:  # gone meanwhile, or a zombie
        return None
