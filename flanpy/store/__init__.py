"""etcd: the session, list-then-watch, the lease schema and the keeper of our own lease."""

import os

# grpc reads both when it is first imported, so they stand before every module here that does. Nothing of ours forks
# (a fork with grpc loaded crashes children), and grpc's own lines would repeat failed handshakes that we report once.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
