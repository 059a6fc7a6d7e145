"""Every error flanpy raises on purpose, as one tree.

    FlanpyError
    ├── ConfigError            settings or network config that cannot be used (exit 78, EX_CONFIG)
    │   └── UsageError         a command line that cannot be used (exit 2)
    ├── StoreError             etcd said no, or said nothing
    │   ├── StoreUnavailable   no answer in time, no leader, connection lost: try again
    │   ├── StoreDenied        wrong credentials or missing permission: an operator must act
    │   ├── StoreCompacted     the revision asked for is gone: list again
    │   ├── ReplyTooLarge      an answer larger than a message may be: ask for less at once
    │   └── LeaseGone          an etcd lease ended or was revoked, and its keys with it
    ├── LeaseError             no subnet can be had: pool exhausted, reservation in the way, conflict
    ├── KernelError            a netlink request failed; carries errno
    ├── HostError              a file, lock or sysctl of this host cannot be used
    │   ├── AlreadyRunning     another flanpyd owns the run directory
    │   └── UnableToAsk        no descriptor or memory is left to ask another host: its silence says nothing
    ├── DockerError            Docker, or its daemon.json, cannot be used as it is
    │   ├── DockerUnreachable  Docker does not run here, or gives no answer
    │   ├── DockerAbsent       Docker here has no such container or network
    │   └── DockerConflict     a flag, network or container of somebody else stands in the way
    ├── OutputError            standard output takes no text: full, or closed
    ├── CloudError             a cloud provider's API refused, or gave no answer
    └── ControlError           the control socket of the local daemon cannot be used
        └── ControlUnreachable nobody listens there

Errors of other packages are translated once, in the adapter that calls them, with `raise ... from`.
A message names the thing, its value, and what to do, in one line.
"""

from __future__ import annotations

import os
import struct
from enum import Enum
from errno import EACCES, EPERM
from typing import Final

MALFORMED: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    struct.error,
)
"""Every error of Python's that the reading of a foreign document may end with, whatever it holds.

`float(10**400)` and `int(inf)` are ArithmeticErrors, a NUL in a path is a ValueError, and 1,000 brackets are a
RecursionError. A reader of JSON, netlink or printed text catches all of them, in one place, and none by name.
"""


class KernelCause(Enum):
    """The cause of a KernelError, as far as the cure depends on it."""

    OTHER = "other"
    NOT_PERMITTED = "not_permitted"
    """a capability is missing."""
    LOCKED = "locked"
    """the lock file of iptables cannot be opened."""
    NO_TOOL = "no_tool"
    """the program is not installed."""
    INCOMPATIBLE = "incompatible"
    """iptables does not know rules that stand in its table."""
    NOT_KEPT = "not_kept"
    """what was written is not what stands afterwards."""


_PERMISSION = frozenset({EACCES, EPERM})


class FlanpyError(Exception):
    """Base of all errors that flanpy raises on purpose."""


class ConfigError(FlanpyError):
    """A setting or the network config cannot be used; the message names it, its value and the cure."""


class UsageError(ConfigError):
    """The command line cannot be used."""


class StoreError(FlanpyError):
    """etcd refused a request or gave no usable answer."""


class StoreUnavailable(StoreError):
    """No answer in time, no leader, or the connection was lost. A write may or may not have happened."""


class StoreDenied(StoreError):
    """Wrong credentials, an untrusted certificate, or a missing permission."""


class ListRefused(StoreError):
    """A list of hosts cannot be read or used; the message names the host, the field, its value and what is wrong."""


class StoreCompacted(StoreError):
    """etcd does not have the revision asked for; only a new listing helps.

    `rewound`: the revision is newer than the newest of etcd, so its history was replaced (restored from a snapshot).
    Otherwise it was compacted away.
    """

    def __init__(self, message: str, *, rewound: bool = False) -> None:
        super().__init__(message)
        self.rewound = rewound


class ReplyTooLarge(StoreError):
    """etcd's answer is larger than a message may be: ask for less at once."""


class LeaseGone(StoreError):
    """An etcd lease does not exist (any more): it ended or was revoked, and its keys went with it."""


class LeaseError(FlanpyError):
    """No subnet can be leased."""


class KernelError(FlanpyError):
    """A netlink request, ioctl, sysctl or program that writes to the kernel failed."""

    def __init__(self, message: str, errno: int = 0, cause: KernelCause = KernelCause.OTHER) -> None:
        """`errno` is the kernel's positive error number, 0 where there is none."""
        super().__init__(f"{message}: {os.strerror(errno)}" if errno else message)
        self.errno = errno
        self.cause = KernelCause.NOT_PERMITTED if errno in _PERMISSION else cause


class HostError(FlanpyError):
    """A file, lock or directory of this host cannot be used."""


class AlreadyRunning(HostError):
    """Another flanpyd holds the lock of this run directory; `conflict` says so without the cure."""

    def __init__(self, conflict: str, cure: str) -> None:
        super().__init__(f"{conflict}: {cure}")
        self.conflict = conflict


class UnableToAsk(HostError):
    """This host lacks the means to ask another, descriptors or memory; that one may well be there."""


class DockerError(FlanpyError):
    """Docker, its daemon.json or its flags stand in the way; the message names what, and the cure."""


class DockerUnreachable(DockerError):
    """Docker does not run here, may not be asked, or gave no answer in time; `problem` says so without the cure."""

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(f"{problem}: {cure}" if cure else problem)
        self.problem = problem


class DockerAbsent(DockerError):
    """Docker on this host has no container or network of this name."""


class DockerConflict(DockerError):
    """A set-up of somebody else in Docker conflicts with the one that we are to make."""


class OutputError(FlanpyError):
    """Standard output is full or closed."""


class CloudError(FlanpyError):
    """A cloud provider refused a call; `fault` is a `model.cloud.CloudFault`'s value, `action` the provider's name."""

    def __init__(self, message: str, *, fault: str, action: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.action = action


class ControlError(FlanpyError):
    """The local daemon's control socket gave no usable answer."""


class ControlUnreachable(ControlError):
    """No daemon listens on the control socket."""
