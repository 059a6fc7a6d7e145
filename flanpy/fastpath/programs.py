"""The four programs in place: loaded, attached to links, found standing, and taken away.

They outlive this process, as the kernel keeps what is attached, but not its word: nothing is carried fast by programs
that no daemon vouches for. Foreign filters and qdiscs are never changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

from flanpy.fastpath.incoming import incoming
from flanpy.fastpath.layout import Paths
from flanpy.fastpath.learners import learn_incoming, learn_outgoing
from flanpy.fastpath.outgoing import outgoing
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.filters import FilterPlace, Filters
from flanpy.udp.bpf.netlink import EGRESS, INGRESS, Link, TrafficControl

NAMES: Final = {INGRESS: "flanpy_fp_in", EGRESS: "flanpy_fp_out"}
"""By parent, of the filters on every link. Part of the state that outlives an upgrade."""


class Programs:
    """Loads when made; raises KernelError if the kernel refuses. `close` it: what is attached stays."""

    def __init__(self, control: TrafficControl, paths: Paths) -> None:
        self._filters = Filters(control, NAMES)
        self._paths = paths
        with ExitStack() as stack:

            def loaded(name: str, code: bytes) -> int:
                descriptor = syscall.load_program(name, code)
                stack.callback(os.close, descriptor)
                return descriptor

            self._of_veth = {
                EGRESS: loaded("flanpy_fp_lrn_i", learn_incoming(paths)),
                INGRESS: loaded("flanpy_fp_out", outgoing(paths)),
            }
            self._of_underlay = {
                EGRESS: loaded("flanpy_fp_lrn_o", learn_outgoing(paths)),
                INGRESS: loaded("flanpy_fp_in", incoming(paths)),
            }
            self._descriptors = stack.pop_all()

    def attach(self, underlay: Link, veths: Iterable[Link]) -> None:
        """Put the programs on these links, learners first, and take them from all others. Raises KernelError."""
        wanted = {underlay: self._of_underlay, **dict.fromkeys(veths, self._of_veth)}
        for link, programs in wanted.items():
            for parent, program in programs.items():
                place = FilterPlace(link, parent)
                if not self._filters.stands(place, syscall.program_id(program)):
                    self._filters.put(place, program)
        self._filters.remove(but=frozenset((link.index, parent) for link in wanted for parent in NAMES))

    def close(self) -> None:
        self._descriptors.close()


def remove(control: TrafficControl) -> None:
    """Delete every filter of the fast path, from any process. Raises KernelError."""
    Filters(control, NAMES).remove()
