"""Faults of a host and its daemon: killed, frozen, restarted in a storm, out of disk or files, at the wrong time; its
NIC another one."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext
from integration.faults.means.disk import filled, read_only
from integration.faults.means.limits import FakeClock
from integration.hosts.daemon import FLANPY_MARKS
from integration.hosts.host import Host

HOUR_S = 3600
START_S = 2.0
"""About as long as a start takes: the clock jumps within it, too."""
EXIT_BUSY = 75
"""EX_TEMPFAIL: another instance runs."""
_daemon = partial(Fault, family=Family.HOST, part=Part.DAEMON, breaks=False)
_nic = partial(Fault, family=Family.HOST, part=Part.NIC)


@contextmanager
def frozen(host: Host) -> Iterator[None]:
    """Let the daemon stand still."""
    host.daemon.freeze()
    try:
        yield
    finally:
        host.daemon.thaw()


def _killed(context: StrikeContext) -> Iterator[Evidence | None]:
    context.host.daemon.kill()
    yield None
    context.launch(context.host)


def _stopped(context: StrikeContext) -> Iterator[Evidence | None]:
    context.host.daemon.stop()
    yield None
    context.launch(context.host)


def _frozen(context: StrikeContext) -> Iterator[Evidence | None]:
    host = context.host
    with frozen(host):
        yield Evidence(host, ("flanpyd",), lambda: not host.daemon.answers("/healthz"))


def _restart_storm(context: StrikeContext) -> Iterator[Evidence | None]:
    """Killed and started, again and again, at whatever step it has come to."""
    for _ in range(6):
        context.host.daemon.kill()
        context.launch(context.host)
        context.pause(context.between(0.02, context.lasts / 6))
    yield None


def _limited(context: StrikeContext, what: int, soft: int) -> Iterator[Evidence | None]:
    """The daemon has a limit for a while; one that meanwhile was started again has its own again."""
    pid = context.host.daemon.pid
    _, hard = before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, hard))
    yield None
    if context.host.daemon.running and context.host.daemon.pid == pid:
        resource.prlimit(pid, what, before)


def _stuttering(context: StrikeContext) -> Iterator[Evidence | None]:
    """It runs a moment and stands still a moment, as under a scheduler that has no time for it."""
    rest = context.lasts
    while rest > 0:
        context.host.daemon.freeze()
        context.pause(moment := context.between(0.05, 0.4))
        context.host.daemon.thaw()
        context.pause(moment / 4)
        rest -= moment * 1.25
    yield None


def _disk_full(context: StrikeContext) -> Iterator[Evidence | None]:
    """Not one byte more goes into any file, its log included."""
    yield from _limited(context, resource.RLIMIT_FSIZE, 0)


def _disk_filled(context: StrikeContext) -> Iterator[Evidence | None]:
    """Its disk has no room: files are made, and stay empty."""
    with filled(context.host.directory):
        yield None


def _disk_read_only(context: StrikeContext) -> Iterator[Evidence | None]:
    with read_only(context.host.directory):
        yield None


def _file_wrong(context: StrikeContext) -> Iterator[Evidence | None]:
    """subnet.env cannot be written, for something else stands there; Docker would start with nothing."""
    path = context.host.daemon.subnet_path
    before = path.read_bytes()
    beside = path.with_name(f".{path.name}.in-the-way")
    beside.mkdir()
    (beside / "in-the-way").touch()
    while not path.is_dir():  # a daemon puts the file back as soon as it is gone
        path.unlink(missing_ok=True)
        with suppress(NotADirectoryError):
            beside.rename(path)
    yield Evidence(context.host, (str(path),), path.is_dir)
    (path / "in-the-way").unlink(missing_ok=True)
    path.rmdir()
    path.write_bytes(before)


def _clock_jumps(context: StrikeContext) -> Iterator[Evidence | None]:
    """Hours forth, then hours back, and right again. The daemon has to be started with a clock that can be set."""
    clock = FakeClock(context.host)
    context.host.daemon.kill()
    context.launch(context.host, clock.environment)
    for sign, rest in ((1, context.between(0, START_S)), (-1, context.lasts / 2)):
        context.pause(rest)
        clock.jump(sign * context.choose(range(1, 31)) * HOUR_S)
    try:
        yield None
    finally:
        clock.jump(0)


def _second_instance(context: StrikeContext) -> Iterator[Evidence | None]:
    """Somebody starts another daemon on the host; flanpyd is to end with a word of its own exit code."""
    daemon, second = context.host.daemon, context.host.child("second")
    flags, own = daemon.extra
    second.start([*daemon.program.argv, *daemon.flags, *flags], env={**daemon.environment, **own})
    try:
        yield None
        second.wait(deadline=10)
        if daemon.program.marks == FLANPY_MARKS and second.exit_code != EXIT_BUSY:
            context.accuse(f"a second daemon ended with {second.exit_code}: {second.log_tail(2)}")
    finally:
        second.kill()


def _files_exhausted(context: StrikeContext) -> Iterator[Evidence | None]:
    """No further file or socket can be opened."""
    yield from _limited(context, resource.RLIMIT_NOFILE, 4)


def _renumbered(context: StrikeContext) -> Iterator[Evidence | None]:
    number = int(context.host.name[1:])
    with context.lab.faults.set_address(context.host, f"10.99.2.{number + context.choose(range(5)) * 40}"):
        yield None


def _narrowed(context: StrikeContext) -> Iterator[Evidence | None]:
    with context.lab.faults.set_mtu(context.host, context.choose((1400, 1450, 9000))):
        yield None


def _replugged(context: StrikeContext) -> Iterator[Evidence | None]:
    with context.lab.faults.remove_nic(context.host):
        yield None


FAULTS = (
    _daemon(name="daemon_killed", title="the daemon is killed", strike=_killed, lasts=(0.1, 6)),
    _daemon(name="daemon_stopped", title="the daemon is stopped", strike=_stopped, lasts=(0.1, 6)),
    _daemon(name="daemon_frozen", title="the daemon hangs", strike=_frozen, lasts=(1, 9), problem="P31",
            alert="FlanpyDown"),
    _daemon(name="restart_storm", title="the daemon is killed again and again", strike=_restart_storm, lasts=(3, 9)),
    _daemon(name="daemon_stutters", title="the daemon gets hardly any time", strike=_stuttering, lasts=(2, 8)),
    _daemon(name="disk_full", title="no file may grow", strike=_disk_full, lasts=(2, 8)),
    _daemon(name="disk_filled", title="its disk has no room", strike=_disk_filled, lasts=(2, 8)),
    _daemon(name="disk_read_only", title="its disk is read only", strike=_disk_read_only, lasts=(2, 8)),
    _daemon(name="clock_jumps", title="the clock jumps by hours", strike=_clock_jumps, lasts=(4, 9)),
    _daemon(name="second_instance", title="another daemon is started", strike=_second_instance, lasts=(1, 3)),
    _daemon(name="files_exhausted", title="no further file can be opened", strike=_files_exhausted, lasts=(2, 8)),
    _nic(name="address_changed", title="the host has another address", strike=_renumbered, lasts=(3, 8)),
    _nic(name="mtu_changed", title="the NIC has another MTU", strike=_narrowed, lasts=(2, 8), breaks=False),
    _nic(name="nic_replaced", title="the NIC is another one", strike=_replugged, lasts=(0.2, 5)),
    _daemon(name="file_wrong", title="subnet.env cannot be written", strike=_file_wrong, lasts=(1, 5), problem="P30",
            condition="SubnetFileWritten", alert="FlanpySubnetFileNotWritten", settle="a second"),
)  # fmt: skip
