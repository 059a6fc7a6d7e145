"""The packet filters of a lab's hosts, by the words of `nft` and `iptables-save`."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from integration.lab import Host
from integration.net.namespaces import connect, in_namespace

_TABLE = re.compile(r"^table (?P<name>[^\n]+) \{\n(?P<body>.*?)^\}\n", re.MULTILINE | re.DOTALL)
_CHAIN = re.compile(r"^\tchain (?P<name>\S+) \{\n(?P<body>.*?)^\t\}\n\n?", re.MULTILINE | re.DOTALL)
_OUR_LINE = re.compile(r"^.*jump FLANPY-\S+\n", re.MULTILINE)
_EMPTY = re.compile(r"\t\ttype \S+ hook \S+ priority [^;]+; policy accept;\n")


def foreign_rules(host: Host) -> str:
    """Return all of nf_tables that is not ours: neither our table, chains and jumps, nor chains of the system
    left empty."""
    kept = []
    for table in _TABLE.finditer(host.run("nft", "--stateless", "list", "ruleset").stdout):
        chains = "".join(
            f"{chain['name']}:\n{body}"
            for chain in _CHAIN.finditer(table["body"])
            if not chain["name"].startswith("FLANPY-")
            and not _EMPTY.fullmatch(body := _OUR_LINE.sub("", chain["body"]))
        )
        if chains and not table["name"].endswith(" flanpy"):
            kept.append(f"{table['name']}\n{chains}")
    return "\n".join(kept)


REPLICAS = Path(__file__).parents[1] / "netfilter" / "replicas"
PORT = 80


def put_docker_rules(host: Host, replica: str) -> None:
    """Put the rules of an engine into the packet filter, for the subnet that this host has."""
    path = REPLICAS / f"{replica}.{'nft' if 'nftables' in replica else 'iptables'}"
    ours = str(host.subnet_file.subnet.network.network_address).removesuffix("0")
    text = re.sub(r"10\.50\.[78]\.", ours, path.read_text())
    if path.suffix == ".nft":
        host.run("nft", "-f", "-", stdin=text)
    else:
        tool = "iptables-legacy-restore" if "legacy" in replica else "iptables-nft-restore"
        host.run(tool, "--noflush", stdin=text)


def use_network_mode(host: Host) -> None:
    """Let the bridge be the one that network mode makes."""
    host.ip("link set docker0 down", "link set docker0 name flanpy0", "link set flanpy0 up")


def listed(host: Host, replica: str) -> str:
    """Return every rule of that replica's flavour."""
    if "nftables" in replica:
        return host.run("nft", "--stateless", "list", "ruleset").stdout
    return host.run("iptables-legacy-save" if "legacy" in replica else "iptables-nft-save").stdout


@contextmanager
def telling(namespace: str, port: int = PORT) -> Iterator[None]:
    """Serve inside a namespace: who connects is told the address that it comes from."""
    listener = in_namespace(namespace, lambda: socket.create_server(("0.0.0.0", port)))
    thread = threading.Thread(target=_tell, args=(listener,))
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _tell(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, peer = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(peer[0].encode())


def seen_as(namespace: str, address: str, port: int = PORT, *, wait: float = 10.0) -> str:
    """Connect from inside a namespace; as whom we are seen there, "" if nobody answers in time."""
    try:
        with connect(namespace, (address, port), timeout=wait) as connection:
            connection.settimeout(wait)
            return connection.recv(100).decode()
    except OSError:
        return ""
