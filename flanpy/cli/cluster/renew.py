"""`flanpyctl cluster renew`: certificates that come to their end, signed again; `flanpy-renew.timer` runs it each day.

Owns the choice of what is due. A member asks the store's host, by the certificate and for the key that it has, so it
stays the same member; who was removed is refused. The store's host signs for itself.
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.cluster import places, steps
from flanpy.cli.cluster.places import (
    CA,
    CA_KEY,
    HOST_CA,
    HOST_CERT,
    HOST_KEY,
    OPERATOR_CERT,
    OPERATOR_KEY,
    STORE_CERT,
    STORE_KEY,
    Belonging,
)
from flanpy.cluster import authority, talk
from flanpy.cluster.place import Place, remembered
from flanpy.cluster.records import OPERATOR
from flanpy.files import atomic


def renew(arguments: Namespace, host: Host) -> Exit:
    """Renew what is due, with --force everything."""
    places.need_root()
    part = places.need_member()
    now = time.time()
    place = remembered(host.settings.state_dir)
    due = [path for path in _certificates(part) if arguments.force or authority.due(path, now=now)]
    if not due:
        print("no certificate is due")
        return Exit.OK
    if part.serves:
        _sign_here(due, part)
        steps.systemctl("try-restart", "flanpy-store.service")
    else:
        _ask(part, place)
    steps.systemctl("try-restart", "flanpyd.service")
    for path in due:
        print(f"renewed {path}")
    return Exit.OK


def _certificates(part: Belonging) -> list[Path]:
    mine = [HOST_CERT, STORE_CERT, OPERATOR_CERT] if part.serves else [HOST_CERT]
    return [path for path in mine if path.exists()]


def _sign_here(due: list[Path], part: Belonging) -> None:
    address = part.joins[0].rpartition(":")[0].strip("[]")
    id_ = authority.member_id(authority.request_of(HOST_KEY))
    promoted = OPERATOR_CERT.exists()
    wanted = {
        HOST_CERT: (HOST_KEY, id_, (address,)),
        STORE_CERT: (STORE_KEY, id_ if promoted else OPERATOR, (address,)),
        OPERATOR_CERT: (OPERATOR_KEY, OPERATOR, ()),
    }
    for path in due:
        key, name, addresses = wanted[path]
        request = authority.request_of(key)
        signed = authority.sign(request, authority=CA, key=CA_KEY, name=name, addresses=addresses)
        atomic.write(path, signed.encode())


def _ask(part: Belonging, place: Place | None) -> None:
    trusted = (place.authority if place else "") or HOST_CA.read_text()
    context = talk.trusting(trusted, certificate=HOST_CERT, key=HOST_KEY)
    joins = (place.joins if place else ()) or part.joins
    said = talk.ask_any(joins, context, {"do": "renew", "request": authority.request_of(HOST_KEY)})
    atomic.write(HOST_CA, str(said["authority"]).encode())
    atomic.write(HOST_CERT, str(said["certificate"]).encode())
