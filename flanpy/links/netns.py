"""Network namespaces of containers, entered from outside by a descriptor.

Owns which file is opened: the one that dockerd keeps for the container, which no process of it can replace. A
descriptor holds the namespace itself, so that nothing done through it ends up in another one.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from flanpy.docker.containers import InspectedContainer
from flanpy.errors import DockerConflict, HostError

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000
_OURS: Final = "/proc/self/ns/net"


@contextmanager
def opened(container: InspectedContainer) -> Iterator[int]:
    """Open the namespace of a running container. Raises DockerConflict if it has none of its own, HostError."""
    try:
        descriptor = os.open(container.sandbox, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise HostError(
            f"cannot open '{container.sandbox}', the network namespace of container '{container.name}':"
            f" {error.strerror}; run this where Docker runs"
        ) from error
    try:
        if _same(os.fstat(descriptor), Path(_OURS).stat()):
            raise DockerConflict(f"container '{container.name}' has the network of the host itself")
        yield descriptor
    finally:
        os.close(descriptor)


def inside(descriptor: int, work: Callable[[], T]) -> T:
    """Run `work` in a thread that is in the namespace, and in no other way in the container. Raises what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(descriptor)
            results.append(work())
        except BaseException as error:  # noqa: BLE001, raised again below
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name="netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(descriptor: int) -> None:
    """Take this thread there, and no other; the kernel refuses a descriptor of anything but a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise HostError(
            f"cannot enter a container's network namespace: {os.strerror(code)}; run this as root"
        )


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
