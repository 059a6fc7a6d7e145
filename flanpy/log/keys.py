"""The glossary: what each key of a log line means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What each key means, wherever it appears. A key that is not here does not go into a log line.
KEYS: Final[Mapping[str, str]] = {
    # the overlay
    "network": "the whole overlay range",
    "subnet": "one host's range",
    "previous": "the value before a change",
    "current": "the value after a change",
    "node": "node id, the identity of a host",
    "peer": "another host, by node id or subnet",
    "public_ip": "address a host advertises for encapsulated packets",
    "backend": "backend type in flannel's words",
    "plane": "data plane of the udp backend: kernel or user",
    "vni": "VXLAN network identifier",
    "vtep_mac": "MAC address of a VXLAN device",
    "lease_id": "etcd lease id",
    "expires_at": "wall time when a lease ends",
    "ttl": "seconds a lease lives",
    "reserved": "the lease has no end",
    # the kernel
    "link": "network interface",
    "address": "IP address on a link, or a socket's",
    "port": "TCP or UDP port",
    "mtu": "bytes",
    "kind": "kind of a kernel object or of a link",
    "key": "identity of a kernel object or an etcd key",
    "op": "kernel change, in iproute2's words",
    "ops": "number of changes",
    "adds": "objects added",
    "replaces": "objects replaced",
    "deletes": "objects deleted",
    "held": "deletions a gate held back",
    "family": "family of a failure or of an address",
    "sysctl": "name of a kernel setting",
    # the store
    "endpoint": "one etcd endpoint",
    "prefix": "etcd key prefix",
    "revision": "etcd revision",
    "peers": "number of other hosts' leases",
    "leases": "number of leases",
    "events": "number of events",
    # the daemon
    "version": "flanpy's version",
    "pid": "a process",
    "phase": "phase of the daemon",
    "condition": "named state that an operator may act on",
    "pass_id": "number of a reconcile pass",
    "signal": "name of a signal",
    "task": "name of an asyncio task",
    "exit_code": "status a process ended with",
    "option": "name of a setting",
    "options": "names of settings",
    "origin": "where a setting came from",
    "value": "a setting's value",
    "path": "file or directory",
    "output": "what a command printed",
    "action": "what follows for the operator or the daemon",
    # failures and time
    "error": "what went wrong, in one line",
    "errno": "the kernel's or the C library's error number",
    "reason": "why a decision was taken",
    "count": "how many at once",
    "attempt": "number of a try, from 1",
    "delay": "seconds until the next try",
    "outage": "seconds an outage lasted",
    "took_ms": "milliseconds spent",
    # lines of libraries that use the standard library's logging
    "logger": "name of a standard library logger",
    "message": "text of a library's line",
    "exc_info": "an exception whose traceback is wanted",
    "exception": "that traceback",
}
