"""The arguments of `flanpyctl drain` and `cleanup`."""

from __future__ import annotations

from flanpy.cli.base.parser import Tree, add_force


def add_drain(tree: Tree) -> None:
    """Add `drain`."""
    drain = tree.command(
        "drain",
        "leave.drain:drain",
        "take this host out of the overlay, or back in",
        """drain
        drain --wait --timeout 600 --cleanup
        drain --undo""",
        about="""\
Let flanpyd give this host's lease back and take none any more, so that peers stop sending here. It goes on running
idle, over restarts and reboots, until --undo, which takes the same subnet again if it is free. Refused while
containers run on the subnet, naming them. A reservation stays this host's. See also: flanpyctl cleanup.""",
    )
    drain.add_argument(
        "--wait", action="store_true", default=False, help="wait until nothing runs on the subnet any more"
    )
    drain.add_argument(
        "--timeout", type=float, metavar="SECONDS", default=300.0, help="how long to wait (default 300)"
    )
    drain.add_argument(
        "--cleanup",
        action="store_true",
        default=False,
        help="then remove what flanpyd made in the kernel, and subnet.env",
    )
    drain.add_argument("--undo", action="store_true", default=False, help="take part again")
    add_force(drain, "even while something runs on the subnet: it loses the overlay")


def add_cleanup(tree: Tree) -> None:
    """Add `cleanup`."""
    cleanup = tree.command(
        "cleanup",
        "leave.cleanup:cleanup",
        "remove all that flanpyd left on this host",
        "cleanup\n cleanup --yes\n cleanup --yes --release",
        about="""\
Remove the links, addresses, neighbours, FDB entries and routes that are ours, subnet.env, and the daemon's files.
What is to go is shown first. Containers lose their connection to other hosts.""",
    )
    cleanup.add_argument("--yes", "-y", action="store_true", default=False, help="do not ask")
    cleanup.add_argument(
        "--dry-run", action="store_true", default=False, help="only show what would be removed"
    )
    cleanup.add_argument(
        "--release", action="store_true", default=False, help="also give the lease back in etcd"
    )
    cleanup.add_argument(
        "--keep-subnet-file",
        action="store_true",
        default=False,
        help="leave subnet.env, which flanneld has taken back",
    )
    add_force(cleanup, "even while a daemon runs (it will put everything back)")
