"""The extension backend's commands as processes.

Owns how one is run: no shell, flannel's environment and standard input, a deadline, no secrets of ours. Must not decide
whether a command may run.

Environment (flannel 0.28): SUBNET and PUBLIC_IP, in a dual-stack network IPV6SUBNET and PUBLIC_IPV6, and for
PostStartupCommand NETWORK; standard input is what the peer's PreStartupCommand printed, and a line end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from flanpy.errors import KernelError
from flanpy.log import get_logger
from flanpy.model.objects import ExtensionPeer, ExtensionStart

log = get_logger()

DEADLINE: Final = 30.0
"""Seconds that a command may take."""

AT_ONCE: Final = 8
"""Commands that run at the same time."""

LONGEST_OUTPUT: Final = 64 * 1024
"""Bytes of PreStartupCommand's output that are published; etcd takes 1.5 MiB, and every host reads every lease."""

_LONGEST_SHOWN: Final = 300
_OURS: Final = ("FLANPYD_", "FLANNELD_", "FLANNEL_ETCD_", "NOTIFY_SOCKET", "WATCHDOG_")


async def run(
    command: tuple[str, ...],
    variables: Mapping[str, str],
    stdin: str,
    *,
    deadline: float = DEADLINE,
    inherited: Mapping[str, str] | None = None,
) -> str:
    """Standard output without the white space around it. Raises KernelError. No command: nothing.

    `inherited` is what `variables` are added to, if it is not our own environment.
    """
    if not command:
        return ""
    shown = " ".join(command)
    process = await _started(command, {**(_inherited() if inherited is None else inherited), **variables})
    try:
        async with asyncio.timeout(deadline):
            out, err = await process.communicate(f"{stdin}\n".encode(errors="replace"))
    except TimeoutError as error:
        await _kill(process)
        raise KernelError(f"{shown!r} did not end within {deadline:g} s and was killed") from error
    except asyncio.CancelledError:
        await _kill(process)
        raise
    said = _shown(err) or _shown(out)
    if process.returncode:
        ended = f"{shown!r} ended with {process.returncode}"
        raise KernelError(f"{ended}: {said}" if said else ended)
    log.info("command_ended", action=shown, subnet=variables.get("SUBNET"), output=said or None)
    if len(out) > LONGEST_OUTPUT:
        raise KernelError(f"{shown!r} printed {len(out)} bytes, more than {LONGEST_OUTPUT}")
    return out.decode("utf-8", "replace").strip()


def environment(obj: ExtensionStart | ExtensionPeer) -> dict[str, str]:
    """The variables that tell a command of `obj`."""
    found: dict[str, str] = {}
    if obj.subnets.subnet is not None:
        found["SUBNET"] = str(obj.subnets.subnet)
    if obj.subnets.subnet6 is not None:
        found["IPV6SUBNET"] = str(obj.subnets.subnet6)
    for address in obj.public_ips:
        found["PUBLIC_IP" if address.version == 4 else "PUBLIC_IPV6"] = str(address)
    if isinstance(obj, ExtensionStart):
        for network in obj.networks:
            found["NETWORK" if network.version == 4 else "IPV6NETWORK"] = str(network)
    return found


async def _started(command: tuple[str, ...], variables: Mapping[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=variables,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        code = error.errno if isinstance(error, OSError) else None
        raise KernelError(f"cannot run {' '.join(command)!r}", code or errno.EINVAL) from error


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End it and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _inherited() -> dict[str, str]:
    """Our environment without our settings (the etcd password may be among them) and what systemd says to us alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _shown(said: bytes) -> str:
    text = " ".join(said.decode("utf-8", "replace").split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
