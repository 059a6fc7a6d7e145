"""`flanpyctl docker opts`: the option file for dockerd, from subnet.env.

Owns the files: subnet.env belongs to the daemon's user, and dockerd, which reads the result, is root. The rules of the
text are in `docker.opts`.
"""

from __future__ import annotations

import errno
import os
import stat
from argparse import Namespace
from pathlib import Path
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.docker import opts as form
from flanpy.errors import DockerConflict, DockerError
from flanpy.files import atomic

_LARGEST: Final = 1 << 16


def opts(arguments: Namespace, host: Host) -> Exit:
    """Write the file that flannel's mk-docker-opts would write."""
    source = Path(arguments.flannel_env or host.effective.subnet_file)
    values = form.values_of(_read(source), os.environ)
    wanted_form = form.Form(
        single=arguments.single,
        combined=arguments.combined,
        key=arguments.key or form.DEFAULT_KEY,
        masquerade=not arguments.no_masq,
    )
    write(Path(arguments.docker_env or form.DEFAULT_OUTPUT), form.text(values, wanted_form))
    if route := form.foreign_route(values):
        raise DockerConflict(f"there is a route to this host's subnet already: {route}; remove it")
    return Exit.OK


def write(path: Path, content: str) -> None:
    """Replace the file in one step; a device or a pipe is written to. Raises DockerError, CommandError."""
    try:
        _refuse_directory_of_another(path)
        if path.exists() and not path.is_file():
            _write_through(path, content)
        else:
            atomic.write(path, content.encode())
    except OSError as cause:
        raise DockerError(f"cannot write '{path}': {cause.strerror}; name another file with -d") from cause


def _read(path: Path) -> str:
    """Read the file; "" if it does not exist. Raises DockerError."""
    try:
        return atomic.read(path, _LARGEST).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as cause:
        raise DockerError(
            f"cannot read '{path}': {cause.strerror}; run as root, or name a file with -f"
        ) from cause


def _refuse_directory_of_another(path: Path) -> None:
    """Raises CommandError, OSError if there is no such directory."""
    owner = path.parent.stat().st_uid
    if owner not in {0, os.geteuid()}:
        raise CommandError(
            Exit.REFUSED,
            f"{path.parent} belongs to another user (uid {owner}), who could change what dockerd reads: "
            "name a file elsewhere with -d, such as /run/docker_opts.env",
        )


def _write_through(path: Path, content: str) -> None:
    """Write to a device or pipe in place. A pipe without a reader is an error (ENXIO), not a wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EAGAIN, "it became another file meanwhile", str(path))
        os.set_blocking(descriptor, True)
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)
