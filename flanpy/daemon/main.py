"""Entry point of flanpyd: settings, lock, identity, then the agent until a signal or a fatal error.

Exit codes: 0 stopped by a signal, 1 failure, 2 usage, 75 another instance runs (EX_TEMPFAIL), 78 configuration
(EX_CONFIG of sysexits.h, which systemd knows by name).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from flanpy import __version__, streams
from flanpy.clock import SystemClock
from flanpy.config import Settings, load
from flanpy.errors import AlreadyRunning, ConfigError, FlanpyError, UsageError
from flanpy.host.disk_work import told_if_late
from flanpy.host.lock import RunLock
from flanpy.host.node_id import NodeId, node_id
from flanpy.log import configure, get_logger, protect
from flanpy.systemd import Notifier

log = get_logger()

GC_THRESHOLDS = (20_000, 20, 20)
"""Frozen values make no cycles, so collections find little; a burst of peers must not trigger one every 700 objects."""

EXIT_FAILURE, EXIT_USAGE, EXIT_BUSY, EXIT_CONFIG = 1, 2, 75, 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run flanpyd; returns its exit code."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    try:
        return 0 if _answered(words) else _run(words, os.environ)
    except FlanpyError as error:
        sys.stderr.write(f"flanpyd: {error}\n")
        return _exit_code(error)


def _answered(words: Sequence[str]) -> bool:
    if not {"--help", "-help", "-h", "--version", "-version"} & {word.partition("=")[0] for word in words}:
        return False
    from flanpy.config import answer  # noqa: PLC0415, the texts are not needed to run

    text = answer(words)
    if text is None:
        return False
    sys.stdout.write(text)
    sys.stdout.flush()
    return True


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    _mind_signals()
    settings = load(argv, environ)
    configure(settings.log.format, settings.log.level)
    protect(settings.etcd.password)
    with told_if_late(settings.state_dir):
        identity = node_id(settings.node_id, state_dir=settings.state_dir)
    with told_if_late(settings.run_dir):
        lock = RunLock.acquire(settings.run_dir, node_id=identity.text)
    with lock:
        _announce(settings, identity)
        return asyncio.run(_serve(settings, identity, argv, environ))


def _mind_signals() -> None:
    """Until the agent handles signals: end at once without a trace, and do not die of a reload.

    An exception would not do: raised while an extension module loads, it is printed or lost there. Nothing is open yet
    that the kernel does not close, the lock least of all.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


async def _serve(
    settings: Settings, identity: NodeId, argv: Sequence[str], environ: Mapping[str, str]
) -> int:
    from flanpy.daemon.agent import Agent  # noqa: PLC0415, a second instance is refused before gRPC is loaded

    # What was imported stays for good: leave it out of every collection, and its pages shared.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    agent = Agent(
        settings,
        identity.text,
        clock=SystemClock(),
        notifier=Notifier.from_environ(environ),
        reload_settings=lambda: load(argv, environ),
    )
    await agent.run()
    return 0


def _announce(settings: Settings, identity: NodeId) -> None:
    log.info(
        "daemon_started", version=__version__, node=identity.text, origin=identity.origin, pid=os.getpid()
    )
    for warning in settings.warnings:
        log.warning("setting_doubtful", message=warning)


def _exit_code(error: FlanpyError) -> int:
    match error:
        case UsageError():
            return EXIT_USAGE
        case ConfigError():
            return EXIT_CONFIG
        case AlreadyRunning():
            return EXIT_BUSY
        case _:
            return EXIT_FAILURE
