"""etcd's wire messages and service stubs, generated from the two .proto files here by `regenerate.sh`.

etcd3 0.12.0 brings stubs that no maintained protobuf can load; this package has the same names and takes their place
as `etcd3.etcdrpc` (see `wire.py`). Must not contain anything but what protoc wrote and these lines. There is no
auth.proto: flanpy authenticates (a message of rpc.proto) but does not edit users and roles.
"""

from flanpy.store.etcdpb.kv_pb2 import *  # noqa: F403
from flanpy.store.etcdpb.rpc_pb2 import *  # noqa: F403
from flanpy.store.etcdpb.rpc_pb2_grpc import *  # noqa: F403
