"""Offload features and driver of a link by the SIOCETHTOOL ioctl (linux/ethtool.h).

Owns the ioctl's structures. The socket's network namespace counts, not the caller's. Must not: know the wanted
features.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from errno import EOPNOTSUPP

from flanpy.errors import KernelError
from flanpy.netlink.framing import packed

_SIOCETHTOOL = 0x8946
_GDRVINFO = 0x3
_DRVINFO_SIZE = 196
_GSSET_INFO, _GSTRINGS, _GFEATURES, _SFEATURES = 0x37, 0x1B, 0x3A, 0x3B
_STRING_SET_FEATURES = 4
_NAME_BYTES = 32
_BLOCK = struct.Struct("=IIII")  # available, requested, active, never_changed


class Ethtool:
    """Features by the names that `ethtool -k` shows."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self._sock = sock or socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._bits: dict[str, int] = {}

    def close(self) -> None:
        self._sock.close()

    def enabled(self, link: str, feature: str) -> bool | None:
        """Report whether a feature is on; None if there is no such link or feature."""
        try:
            block, bit = divmod(self._bit(link, feature), 32)
            size = -(-len(self._bits) // 32)
            answer = self._call(link, struct.pack("=II", _GFEATURES, size) + bytes(size * _BLOCK.size))
        except (KernelError, KeyError):
            return None
        _, _, active, _ = _BLOCK.unpack_from(answer, 8 + block * _BLOCK.size)
        return bool(active >> bit & 1)

    def driver(self, link: str) -> str:
        """Return the name of the link's driver (`ethtool -i`); "" if the kernel does not tell."""
        try:
            answer = self._call(link, struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_SIZE, b"\0"))
        except KernelError:
            return ""
        return answer[4 : 4 + _NAME_BYTES].split(b"\0", 1)[0].decode(errors="replace")

    def set(self, link: str, feature: str, *, enabled: bool) -> None:
        """Switch a feature; raises KernelError if the link does not exist or has no such feature."""
        try:
            block, bit = divmod(self._bit(link, feature), 32)
        except KeyError:
            raise KernelError(f"{link}: this kernel has no feature {feature}", errno=EOPNOTSUPP) from None
        size = -(-len(self._bits) // 32)
        wanted = bytearray(size * 8)  # pairs (valid, requested)
        struct.pack_into("=II", wanted, block * 8, 1 << bit, int(enabled) << bit)
        self._call(link, struct.pack("=II", _SFEATURES, size) + wanted)
        if self.enabled(link, feature) is not enabled:
            state = "on" if enabled else "off"
            raise KernelError(f"{link}: the device does not let {feature} be {state}", errno=EOPNOTSUPP)

    def _bit(self, link: str, feature: str) -> int:
        if not self._bits:
            info = self._call(link, struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _STRING_SET_FEATURES, 0))
            count = struct.unpack_from("=I", info, 16)[0]
            request = struct.pack("=III", _GSTRINGS, _STRING_SET_FEATURES, count) + bytes(count * _NAME_BYTES)
            answer = self._call(link, request)
            for number in range(count):
                start = 12 + number * _NAME_BYTES
                name = answer[start : start + _NAME_BYTES].split(b"\0", 1)[0].decode()
                self._bits[name or f"unnamed-{number}"] = number
        return self._bits[feature]

    def _call(self, link: str, request: bytes) -> bytes:
        buffer = array.array("B", request)
        address, _ = buffer.buffer_info()
        try:
            fcntl.ioctl(self._sock, _SIOCETHTOOL, struct.pack("16sP", packed(link), address) + bytes(16))
        except OSError as error:
            raise KernelError(f"{link}: ethtool request refused", errno=error.errno or 0) from error
        return buffer.tobytes()
