"""Owns the slow way to etcd: between each member and the switch stands a relay that keeps its clients' frames back.

Only frames of etcd's client port are slow: with a slow port among members there would be no leader, which is another
fault. Neither handshakes nor acknowledgements are spared, as they would be by a relay of connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from integration.etcd.cluster import CLIENT_PORT
from integration.faults.fault import Stage
from integration.faults.means.spliced import spliced


@contextmanager
def slow_cables(lab: Stage, *, milliseconds: float) -> Iterator[None]:
    """Each frame between clients and etcd takes so much longer, both ways."""
    settings = (str(CLIENT_PORT), f"{milliseconds:g}")
    with ExitStack() as stack:
        for member in lab.etcd.members:
            stack.enter_context(spliced(lab.switch, member.name, 1, lab.directory, "late", *settings))
        yield
