"""Owns an etcd without space: its own quota used up, and a disk that is really full.

The disk is a tmpfs in a mount namespace that a child of the lab holds open, so that it goes when the lab does, however
that ends.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from integration.etcd.cluster import EtcdMember
from integration.hosts.guarded import GuardedLab
from integration.net.child import Child
from integration.net.namespaces import LabError, run
from integration.net.waiting import wait_until

_BALLAST = "/ballast/"
_PIECE = "x" * (1 << 20)
_DISK_MB = 160
"""Two of etcd's preallocated log segments of 64 MB, and some."""


@contextmanager
def no_space(lab: GuardedLab) -> Iterator[None]:
    """The quota is used up: the alarm NOSPACE is raised, and etcd takes no writes."""
    api = lab.guarded.api
    fill(lab)
    assert api.alarms(), "etcd raised no alarm"
    try:
        yield
    finally:
        api.delete_prefix(_BALLAST)
        api.compact()
        for member in lab.guarded.members:
            lab.guarded.api_at(member).defragment()
        api.disarm()


def fill(lab: GuardedLab, *, pieces: int = 64) -> None:
    """Put a megabyte after another until etcd has no room."""
    for number in range(pieces):
        try:
            lab.guarded.api.put(f"{_BALLAST}{number}", _PIECE)
        except LabError as error:
            if "space exceeded" in str(error):
                return
            raise
    raise LabError(f"etcd took {pieces} MB and still has space: lower its quota")


@contextmanager
def full_disk(lab: GuardedLab) -> Iterator[None]:
    """The disk of the member that the daemons talk to is full: it dies at its next segment of the log."""
    member = lab.used_member()
    holder = _on_small_disk(lab, member)
    disk = f"/proc/{holder.pid}/root{member.storage}"
    run(["dd", "if=/dev/zero", f"of={disk}/ballast", "bs=1M"], check=False)
    _write_until_dead(lab, member)
    try:
        yield
    finally:
        run(["rm", "-f", f"{disk}/ballast"])
        member.kill()
        member.launch()
        lab.guarded.wait_healthy()


def _on_small_disk(lab: GuardedLab, member: EtcdMember) -> Child:
    """Let the member begin again on a small disk of its own."""
    holder = Child(f"disk of {member.name}", member.namespace, log=lab.directory / f"disk-{member.name}.log")
    member.kill()
    lab.guarded.wait_quorum()
    lab.guarded.api.remove_member(member.peer_url)
    shutil.rmtree(member.storage, ignore_errors=True)
    member.storage.mkdir()
    mount = (
        f"mount -t tmpfs -o size={_DISK_MB}m tmpfs {member.storage} && echo mounted && exec sleep infinity"
    )
    holder.start(["unshare", "--mount", "--propagation", "private", "sh", "-c", mount])
    wait_until(lambda: "mounted" in holder.log_text(), f"{holder.name} is mounted", deadline=10)
    member.prefix_argv = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
    lab.guarded.api.add_member(member.peer_url)
    member.cluster_state, member.initial_cluster = "existing", lab.guarded.initial_cluster
    member.launch()
    lab.guarded.wait_healthy()
    return holder


def _write_until_dead(lab: GuardedLab, member: EtcdMember) -> None:
    """Write and delete until the member needs its next segment; the others have all the space they need."""
    api = next(lab.guarded.api_at(one) for one in lab.guarded.members if one is not member)
    lab.guarded.shunned.add(member.name)
    try:
        for number in range(200):
            if not member.running:
                return
            api.put(f"{_BALLAST}full", f"{number}{_PIECE}"[: 1 << 20])
            if number % 4 == 3:
                api.compact()
                api.defragment()
            time.sleep(0.05)
    finally:
        lab.guarded.shunned.discard(member.name)
        api.delete_prefix(_BALLAST)
        api.compact()
    raise LabError(f"{member.name} still runs on a full disk: see {member.log}")
