"""Numbers of netlink itself (linux/netlink.h), whichever protocol is spoken. Plain: imports nothing."""

from __future__ import annotations

from typing import Final

REQUEST: Final = 0x001
ACK: Final = 0x004
DUMP: Final = 0x300
REPLACE: Final = 0x100
EXCL: Final = 0x200
CREATE: Final = 0x400
APPEND: Final = 0x800
"""Flags of a request (NLM_F_...)."""

DUMP_INTR: Final = 0x10
ACK_TLVS: Final = 0x200
"""Flags of an answer: what was listed changed meanwhile; an error carries attributes (extended ack)."""

MSG_ERROR: Final = 2
MSG_DONE: Final = 3

SOL_NETLINK: Final = 270
ADD_MEMBERSHIP: Final = 1
CAP_ACK: Final = 10
EXT_ACK: Final = 11
STRICT_CHECK: Final = 12
"""Options of a socket (NETLINK_...)."""

NESTED: Final = 0x8000
"""Set in the number of an attribute that holds attributes (NLA_F_NESTED)."""
