"""`flanpyctl cluster join`: a further host of a cluster, from nothing to ready.

Owns the token's way in and the order of the steps. Nothing is written before the cluster behind the token was found;
who is refused is left as before. A run that was cut off goes on with the same key, hence by the same use of the token.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import suppress
from typing import Any, Final

from flanpy.children import become
from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_json
from flanpy.cli.cluster import places
from flanpy.cli.cluster.member_setup import host_name, start_host
from flanpy.cli.cluster.places import HOST_CA, HOST_CERT, HOST_KEY, Belonging
from flanpy.cli.cluster.steps import Steps
from flanpy.cluster import authority, talk
from flanpy.cluster.records import PREFIX
from flanpy.cluster.token import Token, parse
from flanpy.errors import StoreDenied
from flanpy.files import atomic
from flanpy.host.node_id import known_node_id

_LONGEST: Final = 8192


def join(arguments: Namespace, host: Host) -> Exit:
    """Set this host up, step by step. CONFLICT if it belongs to another cluster, or uses an etcd."""
    hide(arguments.token)
    token = parse(_read(arguments.token))
    name = host_name(arguments)
    places.need_root()
    known = places.belonging()
    _refuse_other(known, token)
    places.refuse_other_etcd(host, known.endpoints if known else ())
    taken = Steps(dry=arguments.dry_run, tells=arguments.output == "table")
    part = known or Belonging(token.authority, (), token.addresses, name)
    if not (known and known.endpoints and _counts(known, host)):
        part = _become_member(taken, token, part, host, is_new=known is None)
    else:
        taken.note(f"member {part.name} of the cluster at {', '.join(part.joins)}", "keep")
    start_host(taken, arguments, part)
    if arguments.output == "json":
        print_json({"steps": taken.done, "endpoints": list(part.endpoints), "name": part.name})
    return Exit.OK


def hide(word: str) -> None:
    """Start again without the token among the words: a process list shows those to all users of this host."""
    if word == "-" or word not in sys.orig_argv:
        return
    sys.stdout.flush()
    reading, writing = os.pipe()
    os.write(writing, word.encode("utf-8", "surrogateescape")[:_LONGEST])
    os.close(writing)
    os.dup2(reading, 0)
    become(["-" if one == word else one for one in sys.orig_argv])


def _read(word: str) -> str:
    if word != "-":
        return word
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("token: ")
    return sys.stdin.read(_LONGEST)


def _refuse_other(known: Belonging | None, token: Token) -> None:
    if known is None or (known.authority == token.authority and not known.serves):
        return
    if known.serves:
        raise CommandError(Exit.CONFLICT, "this host runs a cluster's store: tokens are for the other hosts")
    raise CommandError(
        Exit.CONFLICT,
        f"this host belongs to another cluster, that of {', '.join(known.joins)}: flanpyctl cluster leave first",
    )


def _counts(part: Belonging, host: Host) -> bool:
    """Report whether the store takes this host's certificate: it was removed, or a backup knows nothing of it."""
    if not (HOST_CERT.exists() and HOST_KEY.exists() and HOST_CA.exists()):
        return False
    try:
        with_etcd(places.as_member(host.settings, part), lambda store: store.get(PREFIX))
    except StoreDenied:
        return False
    return True


def _become_member(taken: Steps, token: Token, part: Belonging, host: Host, *, is_new: bool) -> Belonging:
    ca = talk.fetch_authority(token.addresses, token.authority)
    if taken.dry:
        taken.note(f"member {part.name} of the cluster at {', '.join(token.addresses)}", "would")
        return part
    part.save()
    HOST_KEY.parent.mkdir(mode=0o700, exist_ok=True)
    authority.make_key(HOST_KEY)
    try:
        said = talk.ask_any(token.addresses, talk.trusting(ca), _question(token, part, host))
    except talk.NotAdmitted:
        if is_new:
            for path in (HOST_KEY, places.STATE):
                path.unlink(missing_ok=True)
        raise
    atomic.write(HOST_CA, ca.encode())
    atomic.write(HOST_CERT, str(said["certificate"]).encode())
    joined = Belonging(token.authority, tuple(map(str, said["endpoints"])), token.addresses, part.name)
    joined.save()
    taken.note(f"member {part.name} of the cluster at {', '.join(token.addresses)}", "done")
    return joined


def _question(token: Token, part: Belonging, host: Host) -> dict[str, Any]:
    node = None
    with suppress(OSError):
        node = known_node_id(host.settings.node_id, state_dir=host.settings.state_dir)
    return {
        "do": "join",
        "token": token.id,
        "secret": token.secret,
        "request": authority.request_of(HOST_KEY),
        "name": part.name,
        "node_id": node.text if node else "",
        "address": places.own_address(token.addresses[0].rpartition(":")[0].strip("[]")),
    }
