"""Asks the kernel whether it has WireGuard, without a device; it loads the module for the question if it has one."""

from __future__ import annotations

from errno import ENOENT

from flanpy.errors import KernelError
from flanpy.kernel.wireguard import CONTROL, GENERIC, family_question
from flanpy.netlink.blocking import BlockingSocket, Request


def has_wireguard() -> bool:
    """Report whether this kernel can encrypt. Raises KernelError if it does not say."""
    netlink = BlockingSocket(GENERIC)
    try:
        return netlink.ask(Request(CONTROL, 0, family_question())) is not None
    except KernelError as error:
        if error.errno != ENOENT:
            raise
        return False
    finally:
        netlink.close()
