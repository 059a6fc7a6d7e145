"""Owns a gate before chosen system calls of one program: each is written down, and one of them is never made.

`python syscall_gate.py [--list FILE] [--kill SYSCALL:NUMBER] [--without KIND] -- PROGRAM...` becomes PROGRAM, under a
seccomp filter whose listener (seccomp_unotify(2)) a process beside it holds. Only the calls named here are stopped, for
some microseconds each, so that a start takes hardly longer than without; ptrace stops every call of every thread. The
program is killed before it makes the `NUMBER`th call of that name. `--without` is a kernel that
lacks a kind of link: the kind's name is altered in what the program sends, so the answer is the kernel's own to a kind
that it does not know. Must not know the program.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import platform
import select
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SYSCALLS: Final[Mapping[str, int]] = {
    "rename": 82, "unlink": 87, "mkdir": 83, "chmod": 90, "fchmod": 91, "fsync": 74, "write": 1, "pwrite64": 18,
    "ftruncate": 77, "flock": 73, "sendto": 44, "sendmsg": 46, "connect": 42, "bind": 49, "listen": 50, "clone3": 435,
}  # fmt: skip
"""By their numbers on x86-64. What reads or waits is left out: nothing can be half done in it."""

_SECCOMP, _PIDFD_OPEN, _PIDFD_GETFD = 317, 434, 438
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_CONTINUE = 1
_ARGUMENTS = 32
"""Where a call's arguments stand in struct seccomp_notif."""
_LISTENER = "anon_inode:seccomp notify"
_DEADLINE_S = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main(argv: Sequence[str]) -> None:
    """Become the program; what comes back from the fork is the process beside it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", type=Path)
    parser.add_argument("--kill", default="")
    parser.add_argument("--without", default="")
    parser.add_argument("program", nargs="+")
    typed = parser.parse_args(argv)
    if platform.machine() != "x86_64":
        sys.exit(f"syscall_gate knows the system calls of x86_64 only, this is {platform.machine()}")
    may_run, run = os.pipe()
    target = os.getpid()
    if _forked_away():
        os.close(may_run)
        name, _, number = typed.kill.partition(":")
        _stand_beside(target, run, typed.list, (name, int(number or 0)), typed.without.encode())
        os._exit(0)
    os.close(run)
    _install_filter()
    if os.read(may_run, 1) != b"1":
        sys.exit("syscall_gate: the process beside it ended")
    os.execvp(typed.program[0], typed.program)


def _forked_away() -> bool:
    """Fork twice: the program has no child that it does not know of. True in the process beside it."""
    child = os.fork()
    if child == 0:
        if os.fork():
            os._exit(0)
        os.setsid()
        return True
    os.waitpid(child, 0)
    return False


def _install_filter() -> None:
    names = list(SYSCALLS.values())
    code = [struct.pack("=HBBI", _LOAD_NUMBER, 0, 0, 0)]
    code += [
        struct.pack("=HBBI", _JUMP_IF_EQUAL, len(names) - index, 0, number)
        for index, number in enumerate(names)
    ]
    code += [struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW), struct.pack("=HBBI", _RETURN, 0, 0, _NOTIFY)]
    program = _Program(len(code), b"".join(code))
    _call(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program))


def _call(number: int, *arguments: object) -> int:
    found = int(_libc.syscall(number, *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _stand_beside(
    target: int, run: int, listing: Path | None, killed_at: tuple[str, int], without: bytes
) -> None:
    listener = _listener_of(target)
    out = listing.open("w", buffering=1) if listing is not None else None
    os.write(run, b"1")
    os.close(run)
    names = {number: name for name, number in SYSCALLS.items()}
    taken: Counter[str] = Counter()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        asked = bytearray(80)
        with suppress(OSError):  # it was killed, or its call was interrupted
            fcntl.ioctl(listener, _RECEIVE, asked)
            cookie, thread, _flags, number = struct.unpack_from("=QIIi", asked)
            name = names[number]
            if Path(f"/proc/{target}/task/{thread}").exists():  # not a child of it
                taken[name] += 1
                if out is not None:
                    out.write(f"{name} {taken[name]}\n")
                if (name, taken[name]) == killed_at:
                    os.kill(target, signal.SIGKILL)
                    return
            if without and name == "sendto":
                _file, start, length = struct.unpack_from("=QQQ", asked, _ARGUMENTS)
                _alter(thread, start, length, without)
            fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", cookie, 0, 0, _CONTINUE))


def _alter(thread: int, start: int, length: int, kind: bytes) -> None:
    """Make another name of that kind's, wherever it stands there as the text of an attribute."""
    with Path(f"/proc/{thread}/mem").open("r+b", buffering=0) as memory:
        memory.seek(start)
        text = memory.read(length)
        altered = text.replace(kind + b"\0", kind[:-1] + b"?\0")
        if altered != text:
            memory.seek(start)
            memory.write(altered)


def _listener_of(target: int) -> int:
    """A copy of the descriptor that the target got with its filter."""
    end = time.monotonic() + _DEADLINE_S
    process = _call(_PIDFD_OPEN, target, 0)
    while time.monotonic() < end:
        for entry in Path(f"/proc/{target}/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) == _LISTENER:
                    return _call(_PIDFD_GETFD, process, int(entry.name), 0)
        time.sleep(0.001)
    sys.exit("syscall_gate: the program has no filter")


if __name__ == "__main__":
    main(sys.argv[1:])
