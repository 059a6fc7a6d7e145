"""The parts of pyroute2 the daemon runs on: rtnetlink's constants, and its message types for links and addresses.

Owns how pyroute2 is imported. Its package module imports every protocol it knows (150 ms, 13 MB); the message
types alone are 17 ms and 2 MB. So an empty stand-in takes the package's place while they load, and is taken away
again, which leaves `import pyroute2` working for anyone else in this process.
Must not: know anything of our objects.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any, Final


def _stand_in() -> types.ModuleType | None:
    """Put an empty `pyroute2` package into place, unless the real one is there already."""
    if "pyroute2" in sys.modules:
        return None
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or spec.submodule_search_locations is None:  # the import below says it in the usual words
        return None
    package = types.ModuleType("pyroute2")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["pyroute2"] = package
    return package


_package = _stand_in()
try:
    from pyroute2.netlink import rtnl
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
finally:
    if _package is not None:
        del sys.modules["pyroute2"]


def _numbers(message: Any) -> dict[str, int]:
    return {row[0]: number for number, row in enumerate(message.nla_map)}


LinkMessage: Final = ifinfmsg
AddressMessage: Final = ifaddrmsg

RTA: Final = _numbers(rtmsg)
"""Numbers of the route attributes by their rtnetlink(7) names; likewise the next three."""
NDA: Final = _numbers(ndmsg)
IFLA: Final = _numbers(ifinfmsg)
IFA: Final = _numbers(ifaddrmsg)

ROUTE_TYPES: Final[dict[str, int]] = {name: n for name, n in rtnl.rt_type.items() if isinstance(name, str)}
"""`unicast`, `blackhole`, ... as ip-route(8) names them."""

NEWLINK: Final[int] = rtnl.RTM_NEWLINK
DELLINK: Final[int] = rtnl.RTM_DELLINK
GETLINK: Final[int] = rtnl.RTM_GETLINK
SETLINK: Final[int] = rtnl.RTM_SETLINK
NEWADDR: Final[int] = rtnl.RTM_NEWADDR
DELADDR: Final[int] = rtnl.RTM_DELADDR
GETADDR: Final[int] = rtnl.RTM_GETADDR
NEWROUTE: Final[int] = rtnl.RTM_NEWROUTE
DELROUTE: Final[int] = rtnl.RTM_DELROUTE
GETROUTE: Final[int] = rtnl.RTM_GETROUTE
NEWRULE: Final[int] = rtnl.RTM_NEWRULE
DELRULE: Final[int] = rtnl.RTM_DELRULE
GETRULE: Final[int] = rtnl.RTM_GETRULE
NEWNEIGH: Final[int] = rtnl.RTM_NEWNEIGH
DELNEIGH: Final[int] = rtnl.RTM_DELNEIGH
GETNEIGH: Final[int] = rtnl.RTM_GETNEIGH
NEWNETCONF: Final[int] = rtnl.RTM_NEWNETCONF
DELNETCONF: Final[int] = rtnl.RTM_DELNETCONF
GETNETCONF: Final[int] = rtnl.RTM_GETNETCONF

GROUPS: Final[tuple[int, ...]] = (
    rtnl.RTNLGRP_LINK,
    rtnl.RTNLGRP_NEIGH,
    rtnl.RTNLGRP_IPV4_IFADDR,
    rtnl.RTNLGRP_IPV6_IFADDR,
    rtnl.RTNLGRP_IPV4_ROUTE,
    rtnl.RTNLGRP_IPV6_ROUTE,
    rtnl.RTNLGRP_IPV4_RULE,
    rtnl.RTNLGRP_IPV6_RULE,
    rtnl.RTNLGRP_IPV4_NETCONF,
    rtnl.RTNLGRP_IPV6_NETCONF,
)
"""The multicast groups a monitor listens to."""

NUD_PERMANENT: Final = 0x80
NTF_SELF: Final = 0x02
AF_BRIDGE: Final = 7
PROTO_KERNEL: Final = 2
IFF_UP: Final = 1
