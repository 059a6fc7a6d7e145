"""The second door: hosts without a certificate ask here for one, by a token; members leave here.

Owns a listener with TLS, a line of JSON each way (`flanpy.cluster.talk` is the other side). A secret is compared with
what the store keeps of it, and neither is ever logged. A token's use and the member's record are one transaction: of
two hosts with the last use of a token one is let in.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flanpy.cluster import authority, records
from flanpy.cluster.records import MEMBERS, TOKENS, Member, Refused, TokenRecord
from flanpy.cluster.talk import LONGEST
from flanpy.errors import MALFORMED, FlanpyError, HostError
from flanpy.log import get_logger
from flanpy.store import etcdpb as pb
from flanpy.storeserver.members import SPAN, Members
from flanpy.storeserver.settings import Listen, StoreSettings
from flanpy.storeserver.store import Store

log = get_logger()

_PATIENCE_S: Final = 10.0
_MOST: Final = 32
"""Hosts that are served at once; more wait. Signing costs a few milliseconds."""
_TRIES: Final = 8
_LONGEST_NAME: Final = 253

Answer = dict[str, Any]


class Door:
    """The answers to all questions."""

    def __init__(self, settings: StoreSettings, store: Store, members: Members) -> None:
        assert settings.ca_file is not None
        assert settings.ca_key_file is not None
        self._ca, self._ca_key = settings.ca_file, settings.ca_key_file
        self._endpoints = [str(listen) for listen in settings.listens if listen.tls]
        self._store = store
        self._everyone = members
        self._turns = asyncio.Semaphore(_MOST)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: a question, an answer, the end."""
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PATIENCE_S), self._turns:
                said = await self._answer(await reader.readline(), _name_of(writer), _address_of(writer))
                writer.write(json.dumps({**said, "time": time.time()}).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes, name: str, from_: str) -> Answer:
        try:
            asked = json.loads(line)
            match asked["do"]:
                case "authority":
                    return {"authority": self._ca.read_text()}
                case "store":
                    return self._head()
                case "join" | "renew" | "leave" if self._everyone.moved:
                    return _said_no(Refused.MOVED)
                case "join":
                    return await self._join(asked, from_)
                case "renew":
                    return await self._renew(asked, name, from_)
                case "leave":
                    return await self._leave(name)
        except MALFORMED:
            pass
        except (FlanpyError, OSError) as error:
            log.error("join_failed", error=str(error))
            return _refused(Refused.FAILED)
        return _refused(Refused.MALFORMED)

    def _head(self) -> Answer:
        """Say which store this is: an older one of the same cluster ends upon it."""
        state = self._store.state
        head = {"cluster_id": state.cluster_id, "generation": state.generation, "member": state.member_id}
        return {**head, "endpoints": self._endpoints}

    async def _join(self, asked: Mapping[str, Any], from_: str) -> Answer:
        token, secret = str(asked["token"]), str(asked["secret"])
        if isinstance(known := self._admitted(token, secret, ""), Refused) and known is not Refused.SPENT:
            return _said_no(known)
        id_, certificate = await self._signed(str(asked["request"]), from_)
        name, node_id, address = (str(asked[key])[:_LONGEST_NAME] for key in ("name", "node_id", "address"))
        member = Member(id_, name, node_id, address, int(time.time()))
        if isinstance(refused := await self._let_in(token, secret, member), Refused):
            return _said_no(refused)
        log.info("member_joined", peer=name, public_ip=address)
        return {"certificate": certificate, "endpoints": self._endpoints}

    async def _renew(self, asked: Mapping[str, Any], name: str, from_: str) -> Answer:
        """Sign for a member again: for the key that it has, so that it stays the same member."""
        if not name or self._read(MEMBERS + name) is None:
            return _said_no(Refused.NO_MEMBER)
        request = str(asked["request"])
        if await asyncio.to_thread(authority.member_id, request) != name:
            return _said_no(Refused.NO_MEMBER)
        _, certificate = await self._signed(request, from_)
        log.info("certificate_renewed", peer=name, public_ip=from_)
        return {"certificate": certificate, "authority": self._ca.read_text(), "endpoints": self._endpoints}

    async def _signed(self, request: str, from_: str) -> tuple[str, str]:
        """Return the member's id and certificate; before anything is written, as this proves that it has the key.

        The certificate is a server's too, for the address that the host called from: there the store may be promoted.
        What a host says of its address does not count, or it could speak for the store's host.
        """
        id_ = await asyncio.to_thread(authority.member_id, request)
        addresses = () if any(urlsplit(url).hostname == from_ for url in self._endpoints) else (from_,)
        signed = await asyncio.to_thread(
            authority.sign, request, authority=self._ca, key=self._ca_key, name=id_, addresses=addresses
        )
        return id_, signed

    def _admitted(self, token: str, secret: str, member: str) -> TokenRecord | Refused:
        known = self._read(TOKENS + token)
        return records.admitted(
            records.token_of(known.value) if known else None, secret, member, now=time.time()
        )

    async def _let_in(self, token: str, secret: str, member: Member) -> Refused | None:
        """Write the member and the token's use, if nobody was faster; why not otherwise."""
        for _ in range(_TRIES):
            seen = self._read(TOKENS + token)
            judged = self._admitted(token, secret, member.id)
            if isinstance(judged, Refused):
                return judged
            if any(other.name == member.name and other.id != member.id for other in self._members()):
                return Refused.NAME_TAKEN
            assert seen is not None
            if await self._write(seen, judged, member):
                return None
        return Refused.FAILED

    async def _write(self, seen: pb.KeyValue, token: TokenRecord, member: Member) -> bool:
        same = pb.Compare(
            key=seen.key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=seen.mod_revision
        )
        puts = [
            pb.RequestOp(request_put=pb.PutRequest(key=one.key.encode(), value=records.encoded(one)))
            for one in (token, member)
        ]
        return (await self._store.txn(pb.TxnRequest(compare=[same], success=puts))).succeeded

    def _members(self) -> list[Member]:
        answer = self._store.range(pb.RangeRequest(key=SPAN[0], range_end=SPAN[1]))
        return [member for kv in answer.kvs if (member := records.member_of(kv.value)) is not None]

    def _read(self, key: str) -> pb.KeyValue | None:
        found = self._store.range(pb.RangeRequest(key=key.encode())).kvs
        return found[0] if found else None

    async def _leave(self, name: str) -> Answer:
        if not name or self._read(MEMBERS + name) is None:
            return _refused(Refused.NO_MEMBER)
        await self._store.delete(pb.DeleteRangeRequest(key=(MEMBERS + name).encode()))
        log.info("member_left", peer=name)
        return {}


@asynccontextmanager
async def open_doors(settings: StoreSettings, store: Store, members: Members | None) -> AsyncIterator[None]:
    """Listen at every address of `listen-join-urls`, if there is one."""
    servers: list[asyncio.Server] = []
    if members is not None:
        door, context = Door(settings, store, members), _context(settings)
        servers = [await _open(door, listen, context) for listen in settings.join_listens]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _open(door: Door, listen: Listen, context: ssl.SSLContext) -> asyncio.Server:
    try:
        return await asyncio.start_server(
            door.talk, listen.host, listen.port, ssl=context, limit=LONGEST, ssl_handshake_timeout=_PATIENCE_S
        )
    except OSError as error:
        raise HostError(f"cannot serve at {listen}: {error.strerror}; see what else listens there") from error


def _context(settings: StoreSettings) -> ssl.SSLContext:
    assert settings.cert_file is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(Path(settings.cert_file), settings.key_file)
    context.load_verify_locations(settings.ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _name_of(writer: asyncio.StreamWriter) -> str:
    """Return the common name in the certificate that the client showed; "" for none."""
    shown = writer.get_extra_info("peercert") or {}
    return next(
        (value for part in shown.get("subject", ()) for key, value in part if key == "commonName"), ""
    )


def _address_of(writer: asyncio.StreamWriter) -> str:
    """Return the address that the client called from, without an IPv6 address's zone."""
    return str(writer.get_extra_info("peername")[0]).partition("%")[0]


def _said_no(reason: Refused) -> Answer:
    log.warning("join_refused", reason=reason.value)
    return _refused(reason)


def _refused(reason: Refused) -> Answer:
    return {"refused": reason.value}
