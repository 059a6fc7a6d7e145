"""The common part of all calls: refusals as gRPC codes, and the answer to calls that do not exist.

Owns the border to gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from flanpy.storeserver.refusal import Refusal

Context = grpc.aio.ServicerContext[Any, Any]

_ABSENT: Final = (
    "flanpy-store does not have {method}: it is one copy with keys, leases and watches;"
    " move to an etcd for the rest"
)


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Turn a refusal into the end of the call, with its code and etcd's text."""
    try:
        yield
    except Refusal as refusal:
        await refuse(context, refusal)


async def refuse(context: Context, refusal: Refusal) -> NoReturn:
    """End the call with a refusal."""
    await context.abort(grpc.StatusCode[refusal.reason.code], refusal.reason.text)
    raise AssertionError("abort raises")


class AbsentCalls(grpc.GenericRpcHandler):
    """Answers every method that no service has."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """Return a handler for any kind of call: what a client sends first does not matter."""
        return grpc.stream_stream_rpc_method_handler(_absent(handler_call_details.method))


def _absent(method: str) -> Callable[[Any, Context], Awaitable[None]]:
    async def refuse_call(_requests: Any, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, _ABSENT.format(method=method))

    return refuse_call
