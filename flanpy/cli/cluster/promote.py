"""`flanpyctl store promote`: make this member the store's host, after the one that was is gone for good.

Owns the order of the steps. The store is made of the copy that flanpyd keeps; its generation is one higher, by which
clients and the old store know that it counts. The authority's key was on the old host alone, so this one gets another,
which counts beside the old; what the new store shows to members is this host's own certificate, in which they trust
already.
"""

from __future__ import annotations

import os
import pwd
import secrets
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
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
from flanpy.cli.cluster.steps import Steps
from flanpy.cluster import authority, copy
from flanpy.cluster.copy import Copy
from flanpy.cluster.place import EMBEDDED, Place, remember, remembered
from flanpy.cluster.records import OPERATOR, PREFIX, Member
from flanpy.errors import StoreDenied, StoreError
from flanpy.files import atomic
from flanpy.files.rights import rights_of_owner
from flanpy.model.address import bracketed

DATA: Final = Path("/var/lib/flanpy-store")
USER: Final = "flanpy-store"


def promote(arguments: Namespace, host: Host) -> Exit:
    """Move the store here. CONFLICT while the old one answers, without --force."""
    places.need_root()
    part = places.need_member()
    kept, before = _known(host, part)
    member = _own(kept)
    _refuse_if_it_answers(part, host, before, force=arguments.force)
    taken = Steps(dry=arguments.dry_run, tells=True)
    taken.take("authority, key and certificates of the store", lambda: _issue(before, host))
    if taken.dry:
        taken.note(f"store of generation {before.generation + 1} at {member.address}", "would")
        return Exit.OK
    place = _place(before, member)
    steps.stop("flanpy-store.service")
    taken.take(f"store of generation {place.generation}, {len(kept.items)} keys", lambda: _found(kept, place))
    _serve(taken, place)
    with rights_of_owner(host.settings.state_dir):
        remember(host.settings.state_dir, place)
    served = Belonging(
        authority.digest_of(place.authority), place.endpoints, place.joins, part.name, serves=True, ready=True
    )
    served.save()
    with_etcd(places.as_operator(host.settings, served), lambda store: store.get(PREFIX))
    taken.note(f"the store serves at {', '.join(place.endpoints)}; members find it within a minute", "done")
    print(
        "if the old host is gone for good: flanpyctl cluster remove NODE; new hosts: flanpyctl cluster token create"
    )
    return Exit.OK


def _known(host: Host, part: Belonging) -> tuple[Copy, Place]:
    """Return this host's copy and the newest place that it knows."""
    kept = copy.load(host.settings.state_dir)
    if kept is None or kept.place is None:
        raise CommandError(
            Exit.NOT_FOUND,
            "this host has no copy of the store: promote another member, or bring a backup back:"
            " flanpyctl store restore FILE",
        )
    found = remembered(host.settings.state_dir)
    place = max((one for one in (found, kept.place) if one is not None), key=lambda one: one.rank)
    if not place.embedded:
        raise CommandError(Exit.REFUSED, f"the cluster's store is the etcd at {', '.join(place.endpoints)}")
    if part.serves and part.endpoints == place.endpoints:
        raise CommandError(
            Exit.REFUSED,
            "this host is the store's: systemctl start flanpy-store, or flanpyctl store restore FILE",
        )
    return kept, place


def _own(kept: Copy) -> Member:
    """Return this host's record. REFUSED if it is no member, or has a certificate that others do not trust in."""
    id_ = authority.member_id(authority.request_of(HOST_KEY))
    member = next((one for one in kept.members() if one.id == id_), None)
    if member is None:
        raise CommandError(Exit.REFUSED, "this host is no member any more: promote one that is")
    if not authority.speaks_for(HOST_CERT, member.address):
        raise CommandError(
            Exit.REFUSED,
            f"this host's certificate does not name its address {member.address}: promote another member",
        )
    return member


def _refuse_if_it_answers(part: Belonging, host: Host, before: Place, *, force: bool) -> None:
    if force:
        return
    try:
        with_etcd(places.as_member(host.settings, part), lambda store: store.get(PREFIX))
    except StoreDenied:
        raise
    except StoreError:
        return
    raise CommandError(
        Exit.CONFLICT,
        f"the store at {', '.join(before.endpoints)} answers, so it is not gone: stop it there first, or say --force",
    )


def _issue(before: Place, host: Host) -> None:
    """Make an authority of this host's own, which counts beside the old one, and an operator's certificate of it."""
    own = CA.with_name("flanpy-store.own-authority")
    authority.make_authority(own, CA_KEY)
    trusted = authority.joined(own.read_text(), before.authority or HOST_CA.read_text())
    atomic.write(CA, trusted.encode())
    authority.make_key(OPERATOR_KEY)
    request = authority.request_of(OPERATOR_KEY)
    atomic.write(OPERATOR_CERT, authority.sign(request, authority=CA, key=CA_KEY, name=OPERATOR).encode())
    atomic.write(STORE_KEY, HOST_KEY.read_bytes(), mode=0o600)
    atomic.write(STORE_CERT, HOST_CERT.read_bytes())


def _place(before: Place, member: Member) -> Place:
    address = bracketed(member.address)
    return replace(
        before,
        number=before.number + 1,
        kind=EMBEDDED,
        endpoints=(f"https://{address}:{places.PORT}",),
        joins=(f"{address}:{places.JOIN_PORT}",),
        authority=CA.read_text(),
        generation=before.generation + 1,
        member=secrets.randbits(62) + 1,
    )


def _found(kept: Copy, place: Place) -> None:
    from flanpy.storeserver.backup import found

    if not DATA.exists():
        try:
            user = pwd.getpwnam(USER)
        except KeyError:
            raise CommandError(
                Exit.FAILURE, f"there is no user {USER!r} here: install the package again"
            ) from None
        DATA.mkdir(mode=0o700)
        os.chown(DATA, user.pw_uid, user.pw_gid)
    found(kept, place, DATA)


def _serve(taken: Steps, place: Place) -> None:
    steps.set_variable(taken, places.STORE_SETTINGS, places.LISTEN, ",".join(place.endpoints))
    steps.set_variable(taken, places.STORE_SETTINGS, places.LISTEN_JOIN, f"https://{place.joins[0]}")
    steps.set_variable(taken, places.HOST_SETTINGS, places.ENDPOINTS, ",".join(place.endpoints))
    steps.start(taken, "flanpy-store.service", again=True)
