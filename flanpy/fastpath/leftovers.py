"""The fast path's filters for who only removes them: found on whatever links a daemon left them."""

from __future__ import annotations

from flanpy.errors import KernelError
from flanpy.fastpath.programs import NAMES, remove
from flanpy.udp.bpf.filters import Filters
from flanpy.udp.bpf.netlink import EGRESS, TrafficControl


def lines_left() -> tuple[str, ...]:
    """Return the commands that would remove what is left, one for each filter; nothing if it cannot be listed."""
    control = TrafficControl()
    try:
        ours = list(Filters(control, NAMES).ours())
        return tuple(
            f"tc filter del dev {control.name_of(one.link)} {'egress' if one.parent == EGRESS else 'ingress'}"
            f" pref {one.priority} handle {one.handle} bpf"
            for one in ours
        )
    except KernelError:
        return ()
    finally:
        control.close()


def remove_left() -> None:
    """Remove them, and queues that are then empty. Raises KernelError."""
    control = TrafficControl()
    try:
        remove(control)
    finally:
        control.close()
