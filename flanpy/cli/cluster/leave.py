"""`flanpyctl cluster leave`: this host out of its cluster, and everything of it off this host.

Owns the order: the lease is given back first, the key goes last, so that a run that was cut off can be repeated.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.cluster import places, steps
from flanpy.cli.cluster.places import HOST_CA, HOST_CERT, HOST_KEY, Belonging
from flanpy.cluster import copy, talk
from flanpy.cluster import place as places_of_store
from flanpy.cluster.place import Place, remembered
from flanpy.cluster.records import Refused
from flanpy.errors import ControlError, FlanpyError, StoreError
from flanpy.files import atomic
from flanpy.host import drain_file

FOLLOWED: Final = (copy.FILE, places_of_store.FILE, places_of_store.AUTHORITY_FILE)
"""The files in which flanpyd keeps the cluster's store."""


def leave(arguments: Namespace, host: Host) -> Exit:
    """Leave. REFUSED on the store's host, and while containers run on the subnet."""
    places.need_root()
    part = places.need_member()
    if part.serves:
        raise CommandError(
            Exit.REFUSED, "this host runs the store at which the others meet: it cannot leave them"
        )
    _drain(arguments, host)
    _say_goodbye(part, remembered(host.settings.state_dir), force=arguments.force)
    steps.stop("flanpyd.service")
    steps.stop("flanpy-renew.timer")
    (host.settings.state_dir / drain_file.FILE_NAME).unlink(missing_ok=True)
    for name in (places.ENDPOINTS, places.FOLLOW):
        if not places.has_variable(places.HOST_SETTINGS, name, ""):
            content = places.with_variable(places.HOST_SETTINGS, name, "")
            atomic.write(places.HOST_SETTINGS, content, mode=0o640)
    for name in FOLLOWED:
        (host.settings.state_dir / name).unlink(missing_ok=True)
    for path in (HOST_CERT, HOST_CA, HOST_KEY, places.STATE):
        path.unlink(missing_ok=True)
    print("this host has left the cluster; its key and certificate are gone")
    return Exit.OK


def _drain(arguments: Namespace, host: Host) -> None:
    from flanpy.cli.leave.drain import drain

    if not steps.runs("flanpyd.service"):
        return
    asked = Namespace(**{**vars(arguments), "undo": False, "cleanup": True, "wait": False, "timeout": 0.0})
    try:
        drain(asked, host)
    except (ControlError, StoreError) as error:
        if not arguments.force:
            raise CommandError(
                Exit.UNREACHABLE, f"{error}; --force leaves all the same, and the lease ends by itself"
            ) from error


def _say_goodbye(part: Belonging, place: Place | None, *, force: bool) -> None:
    """Be struck off the list; a host that is not on it any more goes on."""
    if not (HOST_CERT.exists() and HOST_KEY.exists() and HOST_CA.exists()):
        return
    if place is not None and not place.embedded:
        return  # an etcd's rights are its operator's: there the record stays until 'cluster remove'
    authority = (place.authority if place else "") or HOST_CA.read_text()
    context = talk.trusting(authority, certificate=HOST_CERT, key=HOST_KEY)
    try:
        talk.ask_any((place.joins if place else ()) or part.joins, context, {"do": "leave"})
    except talk.NotAdmitted as refused:
        if refused.reason is not Refused.NO_MEMBER:
            raise
    except FlanpyError as error:
        if not force:
            raise CommandError(
                Exit.UNREACHABLE,
                f"{error}; --force leaves all the same: then run 'flanpyctl cluster remove {part.name}' there",
            ) from error
