"""Faults of a host and its daemon: killed, frozen, restarted in a storm, out of disk or files, at the wrong time; its
NIC another one."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from functools import partial

from integration.faults.fault import Family, Ground, Kind, Part, own_flags
from integration.faults.means.disk import filled, read_only
from integration.faults.means.limits import FakeClock

HOUR_S = 3600
START_S = 2.0
"""About as long as a start takes: the clock jumps within it, too."""
EXIT_BUSY = 75
"""EX_TEMPFAIL: another instance runs."""
_daemon = partial(Kind, family=Family.HOST, part=Part.DAEMON, breaks=False)
_nic = partial(Kind, family=Family.HOST, part=Part.NIC)


def _killed(ground: Ground) -> Iterator[None]:
    ground.host.daemon.kill()
    yield
    ground.launch(ground.host)


def _stopped(ground: Ground) -> Iterator[None]:
    ground.host.daemon.stop()
    yield
    ground.launch(ground.host)


def _frozen(ground: Ground) -> Iterator[None]:
    ground.host.daemon.freeze()
    yield
    ground.host.daemon.thaw()


def _restart_storm(ground: Ground) -> Iterator[None]:
    """Killed and started, again and again, at whatever step it has come to."""
    for _ in range(6):
        ground.host.daemon.kill()
        ground.launch(ground.host)
        ground.pause(ground.random.uniform(0.02, ground.blow.lasts / 6))
    yield


def _limited(ground: Ground, what: int, soft: int) -> Iterator[None]:
    """The daemon has a limit for a while; one that meanwhile was started anew has its own again."""
    pid = ground.host.daemon.pid
    _, hard = before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, hard))
    yield
    if ground.host.daemon.running and ground.host.daemon.pid == pid:
        resource.prlimit(pid, what, before)


def _stuttering(ground: Ground) -> Iterator[None]:
    """It runs a moment and stands still a moment, as under a scheduler that has no time for it."""
    rest = ground.blow.lasts
    while rest > 0:
        ground.host.daemon.freeze()
        ground.pause(moment := ground.random.uniform(0.05, 0.4))
        ground.host.daemon.thaw()
        ground.pause(moment / 4)
        rest -= moment * 1.25
    yield


def _disk_full(ground: Ground) -> Iterator[None]:
    """Not one byte more goes into any file, its log included."""
    yield from _limited(ground, resource.RLIMIT_FSIZE, 0)


def _disk_filled(ground: Ground) -> Iterator[None]:
    """Its disk has no room: files are made, and stay empty."""
    with filled(ground.host.directory):
        yield


def _disk_read_only(ground: Ground) -> Iterator[None]:
    with read_only(ground.host.directory):
        yield


def _clock_jumps(ground: Ground) -> Iterator[None]:
    """Hours forth, then hours back, and right again. The daemon has to be started with a clock that can be set."""
    clock = FakeClock(ground.host)
    ground.host.daemon.kill()
    ground.launch(ground.host, clock.environment)
    for sign, rest in ((1, ground.random.uniform(0, START_S)), (-1, ground.blow.lasts / 2)):
        ground.pause(rest)
        clock.jump(sign * ground.random.randint(1, 30) * HOUR_S)
    try:
        yield
    finally:
        clock.jump(0)


def _second_instance(ground: Ground) -> Iterator[None]:
    """Somebody starts another flanpyd on the host, which is to end with a word of its own exit code."""
    daemon, second = ground.host.daemon, ground.host.child("second")
    argv = [*daemon.program.argv, *daemon.flags, *own_flags(ground.host)]
    second.start(argv, env=daemon.environment)
    try:
        yield
        second.wait(deadline=10)
        if second.exit_code != EXIT_BUSY:
            ground.accuse(f"a second flanpyd ended with {second.exit_code}: {second.log_tail(2)}")
    finally:
        second.kill()


def _files_exhausted(ground: Ground) -> Iterator[None]:
    """No further file or socket can be opened."""
    yield from _limited(ground, resource.RLIMIT_NOFILE, 4)


def _renumbered(ground: Ground) -> Iterator[None]:
    number = int(ground.host.name[1:])
    with ground.lab.faults.set_address(ground.host, f"10.99.2.{number + ground.random.randrange(5) * 40}"):
        yield


def _narrowed(ground: Ground) -> Iterator[None]:
    with ground.lab.faults.set_mtu(ground.host, ground.random.choice((1400, 1450, 9000))):
        yield


def _replugged(ground: Ground) -> Iterator[None]:
    with ground.lab.faults.remove_nic(ground.host):
        yield


KINDS = (
    _daemon("daemon_killed", strike=_killed, lasts=(0.1, 6)),
    _daemon("daemon_stopped", strike=_stopped, lasts=(0.1, 6)),
    _daemon("daemon_frozen", strike=_frozen, lasts=(1, 9)),
    _daemon("restart_storm", strike=_restart_storm, lasts=(3, 9)),
    _daemon("daemon_stutters", strike=_stuttering, lasts=(2, 8)),
    _daemon("disk_full", strike=_disk_full, lasts=(2, 8)),
    _daemon("disk_filled", strike=_disk_filled, lasts=(2, 8)),
    _daemon("disk_read_only", strike=_disk_read_only, lasts=(2, 8)),
    _daemon("clock_jumps", strike=_clock_jumps, lasts=(4, 9)),
    _daemon("second_instance", strike=_second_instance, lasts=(1, 3)),
    _daemon("files_exhausted", strike=_files_exhausted, lasts=(2, 8)),
    _nic("address_changed", strike=_renumbered, lasts=(3, 8)),
    _nic("mtu_changed", strike=_narrowed, lasts=(2, 8), breaks=False),
    _nic("nic_replaced", strike=_replugged, lasts=(0.2, 5)),
)
