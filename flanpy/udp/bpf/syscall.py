"""bpf(2) by ctypes: create a map, change and read it, load a program, and run it on a packet for a test.

Owns numbers and layouts of linux/bpf.h, and what the kernel's refusals mean. Must not: know of packets or links.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from flanpy.errors import KernelError

MAP_LPM_TRIE, MAP_PERCPU_ARRAY = 11, 6
NO_PREALLOC = 1
PROG_SCHED_CLS = 3

_NUMBERS = {"x86_64": 321, "i686": 357, "ppc64le": 361, "s390x": 351, "armv7l": 386}
_NUMBER_OF_NEWER_ARCHITECTURES = 280
_ATTR_SIZE = 152
_LOG_BYTES = 1 << 20
_LOG_END = 300
_NAME_BYTES = 15
_BATCH = 4096
_ENOTSUPP = 524  # the kernel's own, which errno does not name


class _Command(IntEnum):
    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27


_libc = ctypes.CDLL(None, use_errno=True)
_number = _NUMBERS.get(platform.machine(), _NUMBER_OF_NEWER_ARCHITECTURES)


class Pointer:
    """The address of a buffer, which is kept alive as long as this is."""

    def __init__(self, buffer: bytes | bytearray | int) -> None:
        self.buffer = (
            ctypes.create_string_buffer(buffer)
            if isinstance(buffer, int)
            else ctypes.create_string_buffer(bytes(buffer), len(buffer))
        )
        self.address = ctypes.addressof(self.buffer)

    @property
    def raw(self) -> bytes:
        return self.buffer.raw


def _call(command: _Command, attributes: bytes) -> tuple[int, bytes]:
    """The result and the attributes as the kernel left them. Raises OSError."""
    attr = ctypes.create_string_buffer(attributes.ljust(_ATTR_SIZE, b"\0"), _ATTR_SIZE)
    result = _libc.syscall(_number, int(command), attr, _ATTR_SIZE)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, attr.raw


def create_map(kind: int, name: str, *, key: int, value: int, entries: int, flags: int = 0) -> int:
    """A descriptor of a new map; sizes of `key` and `value` in bytes. Raises KernelError."""
    attributes = struct.pack("=7I16s", kind, key, value, entries, flags, 0, 0, name[:_NAME_BYTES].encode())
    try:
        return _created(attributes)
    except OSError as error:
        raise KernelError(f"cannot create the BPF map {name}", errno=error.errno or 0) from error


def _created(attributes: bytes) -> int:
    try:
        return _call(_Command.MAP_CREATE, attributes)[0]
    except PermissionError:  # before kernel 5.11 maps count as locked memory
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return _call(_Command.MAP_CREATE, attributes)[0]


def load_program(name: str, code: bytes) -> int:
    """A descriptor of a loaded tc classifier. Raises KernelError with the end of the verifier's log."""
    program, licence = Pointer(code), Pointer(b"Apache-2.0\0")

    def attributes(level: int, log: Pointer | None) -> bytes:
        size, address = (_LOG_BYTES, log.address) if log else (0, 0)
        instructions = len(code) // 8
        return struct.pack(
            "=IIQQIIQII16s", PROG_SCHED_CLS, instructions, program.address, licence.address,
            level, size, address, 0, 0, name[:_NAME_BYTES].encode(),
        )  # fmt: skip

    try:
        return _call(_Command.PROG_LOAD, attributes(0, None))[0]
    except OSError as error:
        said = _verifier_log(attributes) if error.errno in {errno.EACCES, errno.EINVAL} else ""
        raise KernelError(f"cannot load the BPF program {name}{said}", errno=error.errno or 0) from error


def _verifier_log(attributes: object) -> str:
    """Load once more, for the log. Its end says why."""
    assert callable(attributes)
    log = Pointer(_LOG_BYTES)
    try:
        os.close(_call(_Command.PROG_LOAD, attributes(1, log))[0])
    except OSError:
        text = log.raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
        return f" (the verifier: {' | '.join(text[-_LOG_END:].splitlines())})" if text else ""
    return ""


def program_id(descriptor: int) -> int:
    """The number by which the kernel lists the program. Raises KernelError."""
    info = Pointer(256)
    try:
        _call(_Command.OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, 256, info.address))
    except OSError as error:
        raise KernelError("cannot ask for the id of a BPF program", errno=error.errno or 0) from error
    number: int = struct.unpack_from("=I", info.raw, 4)[0]
    return number


def update(descriptor: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
    """Put all entries, new or not; each is replaced at once, never half. Raises KernelError."""
    try:
        _in_batches(descriptor, entries)
    except OSError as error:
        raise KernelError("cannot put a BPF map's entries", errno=error.errno or 0) from error


def _in_batches(descriptor: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
    for first in range(0, len(entries), _BATCH):
        part = entries[first : first + _BATCH]
        keys, values = Pointer(b"".join(k for k, _ in part)), Pointer(b"".join(v for _, v in part))
        try:
            _call(_Command.MAP_UPDATE_BATCH, _batch(descriptor, keys, values, len(part)))
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP}:
                raise
            _one_by_one(descriptor, part)  # kernels that have no batches for this kind of map


def _batch(descriptor: int, keys: Pointer, values: Pointer | None, count: int) -> bytes:
    return struct.pack(
        "=QQQQIIQQ", 0, 0, keys.address, values.address if values else 0, count, descriptor, 0, 0
    )


def _one_by_one(descriptor: int, entries: Iterable[tuple[bytes, bytes]]) -> None:
    for key_bytes, value_bytes in entries:
        key, value = Pointer(key_bytes), Pointer(value_bytes)
        _call(_Command.MAP_UPDATE_ELEM, _element(descriptor, key, value))


def _element(descriptor: int, key: Pointer, value: Pointer | None) -> bytes:
    """The caller keeps both until the call is over: their addresses alone keep nothing alive."""
    return struct.pack("=I4xQQQ", descriptor, key.address, value.address if value else 0, 0)


def delete(descriptor: int, keys: Iterable[bytes]) -> None:
    """Delete entries; one that is not there is none to delete. Raises KernelError."""
    for key_bytes in keys:
        key = Pointer(key_bytes)
        try:
            _call(_Command.MAP_DELETE_ELEM, _element(descriptor, key, None))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KernelError("cannot delete a BPF map's entry", errno=error.errno or 0) from error


def lookup(descriptor: int, key: bytes, size: int) -> bytes | None:
    """The value of an entry, None if there is none. Raises KernelError."""
    value, wanted = Pointer(size), Pointer(key)
    try:
        _call(_Command.MAP_LOOKUP_ELEM, _element(descriptor, wanted, value))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KernelError("cannot read a BPF map", errno=error.errno or 0) from error
    return value.raw


def possible_cpus() -> int:
    """Return the number of values in an entry of a per-CPU map."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


def run_on(descriptor: int, frame: bytes, context: bytes = b"") -> tuple[int, bytes]:
    """The program's verdict on an Ethernet frame and what it made of it (BPF_PROG_TEST_RUN). Raises OSError.

    `context` is a struct __sk_buff. The kernel treats the frame as received on the loopback link.
    """
    given, made, given_context = Pointer(frame), Pointer(len(frame) + 256), Pointer(context or b"\0")
    attributes = struct.pack(
        "=IIIIQQIIIIQQ", descriptor, 0, len(frame), len(frame) + 256, given.address, made.address, 1, 0,
        len(context), 0, given_context.address if context else 0, 0,
    )  # fmt: skip
    _, answered = _call(_Command.PROG_TEST_RUN, attributes)
    _, verdict, _, size = struct.unpack_from("=IIII", answered)
    return verdict, made.raw[:size]
