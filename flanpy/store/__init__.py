"""etcd: the session, list-then-watch, the lease schema and the keeper of our own lease."""

import os

# grpc reads these when it is first imported, so they stand before every module here that does. Nothing of ours forks
# (a fork with grpc loaded crashes children), and grpc's own lines would repeat failed handshakes that we report once.
# Its own resolver asks nameservers alone and waits for all answers: a name of /etc/hosts with an IPv4 address only then
# hangs on a dead nameserver. "native" is getaddrinfo(3), as the rest of the host resolves.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
