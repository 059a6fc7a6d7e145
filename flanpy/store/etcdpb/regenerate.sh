#!/bin/sh
# Regenerates the stubs beside this script. Needs the extra `stubs` (grpcio-tools 1.62.3): its generated code
# carries no check of the runtime's version, so it loads on every protobuf from 3.20 to 7.
set -eu
cd "$(dirname "$0")/../../.."
"${PYTHON:-python3}" -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. --grpc_python_out=. \
    flanpy/store/etcdpb/kv.proto flanpy/store/etcdpb/rpc.proto
rm -f flanpy/store/etcdpb/kv_pb2_grpc.py  # kv.proto has no service
