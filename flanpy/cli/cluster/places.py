"""The files that make a host a member, and its settings.

Owns their places and rights: keys are root's alone, where systemd takes a service's credentials from. `cluster.json`
holds nothing secret; it is written before the first key and says how far a run came.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.config.credentials import STORE
from flanpy.config.settings import EtcdOptions, Settings
from flanpy.errors import MALFORMED
from flanpy.files import atomic

STATE: Final = Path("/etc/flanpy/cluster.json")
STORE_SETTINGS: Final = Path("/etc/default/flanpy-store")
HOST_SETTINGS: Final = Path("/etc/default/flanpyd")
ENDPOINTS: Final = "FLANPYD_ETCD_ENDPOINTS"
FOLLOW: Final = "FLANPYD_ETCD_FOLLOW"
LISTEN: Final = "FLANPY_STORE_LISTEN_CLIENT_URLS"
LISTEN_JOIN: Final = "FLANPY_STORE_LISTEN_JOIN_URLS"
PORT, JOIN_PORT = 2379, 2378

CA: Final = STORE / "flanpy-store.trusted-ca-file"
CA_KEY: Final = STORE / "flanpy-store.ca-key-file"
STORE_CERT: Final = STORE / "flanpy-store.cert-file"
STORE_KEY: Final = STORE / "flanpy-store.key-file"
OPERATOR_CERT: Final = STORE / "flanpy-store.operator-cert-file"
OPERATOR_KEY: Final = STORE / "flanpy-store.operator-key-file"
"""A promoted store's: what it shows to clients is a member's certificate, which does not make an operator."""
HOST_CA: Final = STORE / "flanpyd.etcd-cafile"
HOST_CERT: Final = STORE / "flanpyd.etcd-certfile"
HOST_KEY: Final = STORE / "flanpyd.etcd-keyfile"


@dataclass(frozen=True, slots=True)
class Belonging:
    """This host's part in a cluster. `joins` are `host:port`; `ready` once everything is set up."""

    authority: str
    endpoints: tuple[str, ...]
    joins: tuple[str, ...]
    name: str
    serves: bool = False
    ready: bool = False

    def save(self) -> None:
        """Write it."""
        atomic.write(STATE, json.dumps(asdict(self), indent=2).encode() + b"\n")


def belonging() -> Belonging | None:
    """Return this host's part in a cluster; None if it has none. Raises `CommandError` for a file that is damaged."""
    try:
        document = json.loads(atomic.read(STATE, 1 << 20))
        found = Belonging(**document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise atomic.host_error("read", STATE, error) from error
    except MALFORMED:
        raise CommandError(
            Exit.FAILURE, f"'{STATE}' is damaged: remove it, then run the command again"
        ) from None
    return replace(found, endpoints=tuple(found.endpoints), joins=tuple(found.joins))


def need_member() -> Belonging:
    """Return this host's part. NOT_FOUND if it has none."""
    found = belonging()
    if found is None:
        raise CommandError(
            Exit.NOT_FOUND, "this host belongs to no cluster: flanpyctl cluster init, or cluster join"
        )
    return found


def need_store_host() -> Belonging:
    """Return this host's part. REFUSED on any host but the store's."""
    found = need_member()
    if not found.serves:
        raise CommandError(
            Exit.REFUSED,
            f"this is done on the store's host ({', '.join(found.endpoints)}), which has the authority",
        )
    return found


def need_root() -> None:
    """Raise `CommandError` unless root runs this on a host with systemd."""
    if os.geteuid() != 0:
        raise CommandError(Exit.FAILURE, "this needs root: keys and services are the whole host's (sudo)")
    if not Path("/run/systemd/system").is_dir():
        raise CommandError(Exit.FAILURE, "this host was not booted by systemd, which runs the services")


def refuse_other_etcd(host: Host, ours: tuple[str, ...] = ()) -> None:
    """CONFLICT if this host is set up for an etcd already that is not `ours`."""
    origin = host.settings.origins.get("etcd-endpoints")
    if origin is not None and origin.source != "default" and host.settings.etcd.endpoints != ours:
        raise CommandError(
            Exit.CONFLICT,
            f"this host belongs to the network of {', '.join(host.settings.etcd.endpoints)} already ({origin}):"
            " take that setting out first",
        )
    if not ours and HOST_KEY.exists():
        raise CommandError(
            Exit.CONFLICT, f"this host has a key for an etcd already, '{HOST_KEY}': move it away first"
        )


def as_member(settings: Settings, part: Belonging) -> Settings:
    """Return settings that reach the store by this host's own certificate."""
    etcd = EtcdOptions(endpoints=part.endpoints, prefix=settings.etcd.prefix, cafile=HOST_CA, certfile=HOST_CERT,
                       keyfile=HOST_KEY, follow=True)  # fmt: skip
    return replace(settings, etcd=etcd)


def as_operator(settings: Settings, part: Belonging) -> Settings:
    """Return settings that reach the store by the operator's certificate, which may do everything."""
    pair = (OPERATOR_CERT, OPERATOR_KEY) if OPERATOR_CERT.exists() else (STORE_CERT, STORE_KEY)
    etcd = EtcdOptions(endpoints=part.endpoints, prefix=settings.etcd.prefix, cafile=CA, certfile=pair[0],
                       keyfile=pair[1], follow=True)  # fmt: skip
    return replace(settings, etcd=etcd)


def with_variable(path: Path, name: str, value: str) -> bytes:
    """Return an environment file's content with a variable set once, its other lines as they are."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(Exit.FAILURE, f"'{path}' cannot be read: {error}") from error
    kept = [line for line in text.splitlines() if not re.match(rf"\s*{name}\s*=", line)]
    return "\n".join([*kept, *([f"{name}={value}"] if value else []), ""]).encode()


def has_variable(path: Path, name: str, value: str) -> bool:
    """Tell whether an environment file sets a variable to this value."""
    from flanpy.files.environment_file import read_environment_file

    try:
        return read_environment_file(path).get(name, "") == value
    except OSError:
        return not value


def own_address(towards: str) -> str:
    """Return this host's address on the way to another; "" without a way. Nothing is sent."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((towards, 9))
            return str(way.getsockname()[0])
    except OSError:
        return ""
