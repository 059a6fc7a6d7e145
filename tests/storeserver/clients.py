"""Raw clients for tests of the store: etcd's messages as they are, without what flanpy's session makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from flanpy.store import etcdpb as pb


class Raw:
    """Blocking stubs of one server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        stub: Any = pb
        self.kv = stub.KVStub(channel)
        self.lease = stub.LeaseStub(channel)
        self.watch = stub.WatchStub(channel)
        self.maintenance = stub.MaintenanceStub(channel)
        self.auth = stub.AuthStub(channel)

    def put(self, key: bytes, value: bytes = b"", **fields: Any) -> pb.PutResponse:
        found: pb.PutResponse = self.kv.Put(pb.PutRequest(key=key, value=value, **fields), timeout=30)
        return found

    def values(self, prefix: bytes) -> dict[bytes, bytes]:
        """All keys of a prefix."""
        asked = pb.RangeRequest(key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1]))
        return {kv.key: kv.value for kv in self.kv.Range(asked, timeout=30).kvs}

    def watching(self, requests: Iterable[pb.WatchRequest]) -> Any:
        """A call of Watch; iterate over it for the answers."""
        return self.watch.Watch(iter(requests))


@contextmanager
def raw(url: str) -> Iterator[Raw]:
    """A client of a plain server, by its URL."""
    with grpc.insecure_channel(url.partition("//")[2], options=[("grpc.enable_http_proxy", 0)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield Raw(channel)
