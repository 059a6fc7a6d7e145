"""The arguments of `flanpyctl doctor` and `diag`."""

from __future__ import annotations

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Tree, add_format


def add_doctor(tree: Tree) -> None:
    """Add `doctor`."""
    doctor = tree.command(
        "doctor",
        "repair.doctor:show",
        "find what is wrong, from what, and what to do",
        "doctor\n doctor -v\n doctor --fix\n doctor -o json",
        about="""\
Check the daemon, etcd, the kernel, the packet filter and Docker for every known problem, and print what was found: the
cause first, then what it explains. Nothing is changed without --fix, which runs only the commands it shows, each after
a yes, and then looks again; services are never restarted. Without a daemon the rest is checked all the same, and the
exit code is 3.""",
    )
    add_format(doctor, *FORMATS)
    doctor.add_argument(
        "--fix", action="store_true", default=False, help="run the commands that are safe, asking before each"
    )
    doctor.add_argument(
        "--yes",
        action="store_true",
        default=False,
        help="with --fix: do not ask, but leave foreign objects alone",
    )
    doctor.add_argument(
        "--verbose",
        "-v",
        action="store_true",
        default=False,
        help="also list what was checked and found well",
    )


def add_diag(tree: Tree) -> None:
    """Add `diag`."""
    diag = tree.command(
        "diag",
        "repair.diag:bundle",
        "pack what support needs, without secrets",
        "diag\n diag -f /tmp/node-7.tar.gz",
        about="""\
Write an archive (mode 0600) of what the daemon says, what the kernel has (links, routes, neighbours, FDB, packet
filter, settings), versions, and the daemon's last log lines. Passwords, tokens and keys are taken out. Works without a
daemon; what could not be had is listed in missing.txt.""",
    )
    diag.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        default="",
        help="where to (default flanpy-diag-NODE-TIME.tar.gz here)",
    )
