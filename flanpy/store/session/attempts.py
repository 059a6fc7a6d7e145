"""The attempts at one request to etcd: where it goes, with which token, and what a failure means.

Every attempt has a deadline. Requests that only read are tried once at each endpoint; writes go to another endpoint
only if the first was never reached, because a write whose answer is lost may have happened: that is StoreUnavailable.
Owns the translation of gRPC's errors and the end of the session. Must not know what is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio

from flanpy.clock import Clock
from flanpy.errors import StoreDenied, StoreUnavailable
from flanpy.store.endpoint import Endpoint
from flanpy.store.head import Head
from flanpy.store.record import StoreRecord
from flanpy.store.session.auth import Metadata, Tokens
from flanpy.store.session.channel import Connection, Connections, Stubs
from flanpy.store.session.faults import Cure, Fault, Tries, code_of, read_fault
from flanpy.store.session.settings import EtcdSettings

Reply = TypeVar("Reply")
Failure = TypeVar("Failure", bound=BaseException)
Send = Callable[[Stubs, Metadata], Awaitable[Reply]]


class Attempts:
    """One session's. Of the settings only the words of an error are made; who changes them replaces `settings`."""

    def __init__(
        self,
        settings: EtcdSettings,
        connections: Connections,
        *,
        record: StoreRecord,
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._connections = connections
        self._record = record
        self._tokens = tokens
        self._clock = clock
        self._head = Head()
        self._closed = False

    @property
    def cluster_id(self) -> int:
        """The cluster that answered last; 0 before the first answer."""
        return self._head.cluster_id

    @property
    def head(self) -> Head:
        """Return what the last answer said of its store."""
        return self._head

    def close(self) -> None:
        """Stop all attempts; calls in flight raise `StoreUnavailable` once their channel closes."""
        self._closed = True

    def refuse_if_closed(self) -> None:
        """Raises `StoreUnavailable` after `close`."""
        if self._closed:
            raise _closed()

    async def ask(
        self, operation: str, rpc: Callable[[Stubs], Any], request: Any, *, repeatable: bool = False
    ) -> Any:
        """Send a request by the stub that `rpc` picks, as often as `repeatable` allows."""

        async def send(stubs: Stubs, metadata: Metadata) -> Any:
            return await rpc(stubs)(request, timeout=self._connections.deadline, metadata=metadata)

        return await self.call(operation, send, repeatable=repeatable)

    async def call(self, operation: str, send: Send[Reply], *, repeatable: bool = False) -> Reply:
        """Send until there is an answer or nothing is left to try."""
        tries = Tries(endpoints=len(self._connections.endpoints))
        while True:
            tried = self._connections.endpoint
            outcome = await self._attempt(operation, send)
            if not isinstance(outcome, Fault):
                return outcome
            if outcome.cure is Cure.NEW_TOKEN and not tries.tokens:
                self._connections.leave(tried)
            if not tries.take(outcome, repeatable=repeatable):
                if outcome.cure is Cure.OTHER_ENDPOINT:
                    self._record.lost(outcome.error, tried)
                if outcome.silent:
                    self._connections.unheard()
                raise outcome.error

    async def _attempt(self, operation: str, send: Send[Reply]) -> Reply | Fault:
        self.refuse_if_closed()
        with self._connections.use() as connection:
            metadata: Metadata = ()
            started = self._clock.monotonic()
            try:
                metadata = await self._tokens.metadata()
                reply = await send(connection.stubs, metadata)
            except grpc.aio.AioRpcError as error:
                return self._note_failure(error, operation, connection, metadata)
            except StoreUnavailable as error:
                self._connections.failed(connection)
                return Fault(_without_frames(error), Cure.OTHER_ENDPOINT)
            except asyncio.CancelledError:
                self._raise_if_closed()
                raise
            if refusal := self._overtaken(reply.header, connection.endpoint):  # type: ignore[attr-defined]
                self._record.failed(operation, "OVERTAKEN")
                self._connections.failed(connection)
                return refusal
            took = self._clock.monotonic() - started
            self._record.answered(operation, connection.endpoint, took)
            self._connections.answered_in(took)
            return reply

    def refuse_overtaken(self, header: Any, connection: Connection) -> None:
        """Raise `StoreDenied` for the answer of a store that was replaced by a newer one."""
        if refusal := self._overtaken(header, connection.endpoint):
            self._connections.failed(connection)
            raise refusal.error

    def _overtaken(self, header: Any, endpoint: Endpoint) -> Fault | None:
        """Note whose answer this is; return why it does not count, if it does not."""
        head = Head(header.cluster_id, header.raft_term, header.member_id)
        expected = self.settings.expected
        if expected is None or not expected.outranks(head):
            self._head = head
            return None
        text = (
            f"etcd at {endpoint}, flanpy-store, is of generation {head.generation}, and a store of generation"
            f" {expected.generation} took this cluster over: stop flanpy-store there"
        )
        return Fault(StoreDenied(text), Cure.OTHER_ENDPOINT, unsent=True)

    def _note_failure(
        self, error: grpc.aio.AioRpcError, operation: str, connection: Connection, metadata: Metadata
    ) -> Fault:
        fault = self._read(error, operation, connection.endpoint)
        if metadata == () and self._tokens.may_be_wanted(error):
            fault = replace(fault, cure=Cure.NEW_TOKEN)
        fault.error.__cause__ = _without_frames(error)
        self._record.failed(operation, code_of(error).name)
        if fault.cure is Cure.NEW_TOKEN or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._tokens.rejected(metadata)
        if fault.cure is Cure.OTHER_ENDPOINT:
            self._connections.failed(connection)
        return fault

    async def metadata(self) -> Metadata:
        """The token to send along, if any; its failures translated."""
        try:
            return await self._tokens.metadata()
        except grpc.aio.AioRpcError as error:
            raise self._read(error, "authenticate", self._connections.endpoint).error from error

    def raise_translated(self, error: BaseException, connection: Connection, metadata: Metadata) -> NoReturn:
        """Raise what a failure of a watch means."""
        if isinstance(error, grpc.aio.AioRpcError):
            raise self._note_failure(error, "watch", connection, metadata).error
        if isinstance(error, StoreUnavailable):
            self._record.failed("watch", "SILENT")
            self._tokens.rejected(metadata)
            self._connections.failed(connection)
            _without_frames(error)
        elif isinstance(error, asyncio.CancelledError):
            self._raise_if_closed()
        try:
            raise error
        finally:
            del error  # or this frame, which the traceback holds, would hold the error

    def _read(self, error: grpc.aio.AioRpcError, operation: str, endpoint: object) -> Fault:
        who = self.settings
        return read_fault(error, operation, endpoint, username=who.username, certificate=who.cert_file)

    def _raise_if_closed(self) -> None:
        """Raise if closed. Closing a channel cancels its calls; a caller waiting for one must not appear cancelled."""
        task = asyncio.current_task()
        if self._closed and (task is None or not task.cancelling()):
            raise _closed()


def _without_frames(error: Failure) -> Failure:
    """The error without its traceback, whose frames refer to the call, and often to the error itself.

    A call that is only garbage keeps its channel alive after `close`, and that goes on connecting, once a second.
    """
    error.__traceback__ = None
    return error


def _closed() -> StoreUnavailable:
    return StoreUnavailable("the etcd session was closed")
