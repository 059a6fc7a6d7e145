"""The settings of the running daemon, as the weakest source of a command's own.

Owns what may be borrowed: places to ask and to read. Nothing secret, and no command and no file that root's commands
write, for the daemon's user is not root. Of etcd all or nothing, since users and certificates belong to endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flanpy.cli.base.control import Control
from flanpy.cli.base.options import ETCD_OPTIONS
from flanpy.config.options import BY_NAME
from flanpy.config.settings import Origin
from flanpy.config.sources import Given, parsed
from flanpy.errors import FlanpyError

_LENT: Final = frozenset(
    {*ETCD_OPTIONS, "leases-from", "leases-cafile", "subnet-file", "allowed-network", "subnet-lease-ttl"}
)


def from_daemon(control: Control, given: frozenset[str]) -> Mapping[str, Given]:
    """Return the daemon's own settings that are not `given`; none if it does not answer."""
    try:
        rows = control.get("config")
    except FlanpyError:
        return {}
    told = {str(row.get("name")): row for row in rows if row.get("origin") != "default"}
    found = {
        name: Given((str(told[name].get("value")),), Origin("flanpyd"))
        for name in _LENT & told.keys() - given
        if told[name].get("value") and not BY_NAME[name].secret
    }
    if "etcd-endpoints" in given or ("etcd-password" in told and "etcd-password" not in given):
        found = {
            name: one for name, one in found.items() if name not in ETCD_OPTIONS or name == "etcd-prefix"
        }
    return {name: one for name, one in found.items() if _is_usable(name, one)}


def _is_usable(name: str, given: Given) -> bool:
    """Report whether a value of a daemon of another version is one here, too."""
    try:
        parsed(BY_NAME[name], given)
    except FlanpyError:
        return False
    return True
