"""Three etcds with TLS on booted hosts, whose certificates are of another authority than the cluster's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from integration.hosts.systemd import SystemdHost
from tests.lab.overlay import eventually
from tests.systemd.looks import DEADLINE_S

CLIENT_PORT, PEER_PORT = 3379, 3380
UNIT = "etcd-of-ours"
PLACE = "/root/etcds"
AUTHORITY = f"{PLACE}/ca.crt"
_CA = f"""
umask 077; mkdir -p {PLACE}; cd {PLACE}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /O=etcds \
  -keyout ca.key -out ca.crt
"""
_ISSUE = """
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /O=etcds -addext subjectAltName=IP:{address} \
  -keyout {name}.key -out {name}.csr
openssl x509 -req -in {name}.csr -days 30 -copy_extensions copy -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt
"""


def urls(hosts: Sequence[SystemdHost]) -> str:
    """Return what `store move --to` takes."""
    return ",".join(f"https://{host.address}:{CLIENT_PORT}" for host in hosts)


@contextmanager
def tls_etcds(hosts: Sequence[SystemdHost], trusted: str) -> Iterator[None]:
    """Run a member on each host. Clients show certificates of the authority in the PEM text `trusted`."""
    first = hosts[0]
    issues = "".join(_ISSUE.format(name=host.name, address=host.address) for host in hosts)
    first.run("bash", "-euc", _CA + issues)
    for host in hosts:
        host.run("mkdir", "-p", PLACE)
        for name in ("ca.crt", f"{host.name}.crt", f"{host.name}.key"):
            host.write(f"{PLACE}/{name}", first.read(f"{PLACE}/{name}"), mode=0o600)
        host.write(f"{PLACE}/clients.crt", trusted)
    ring = ",".join(f"{host.name}=https://{host.address}:{PEER_PORT}" for host in hosts)
    try:
        for host in hosts:
            host.run("systemd-run", f"--unit={UNIT}", "--property=Type=exec", *_words(host, ring))
        for host in hosts:
            eventually(partial(_serves, host), partial(host.journal, UNIT), deadline=DEADLINE_S)
        yield
    finally:
        for host in hosts:
            host.run("systemctl", "stop", UNIT, check=False)


def _words(host: SystemdHost, ring: str) -> tuple[str, ...]:
    own = (f"{PLACE}/{host.name}.crt", f"{PLACE}/{host.name}.key")
    client, peer = (f"https://{host.address}:{port}" for port in (CLIENT_PORT, PEER_PORT))
    return (
        "/usr/bin/etcd", f"--name={host.name}", f"--data-dir={PLACE}/data", f"--initial-cluster={ring}",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--cert-file={own[0]}", f"--key-file={own[1]}", "--client-cert-auth", f"--trusted-ca-file={PLACE}/clients.crt",
        f"--peer-cert-file={own[0]}", f"--peer-key-file={own[1]}", "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={AUTHORITY}",
    )  # fmt: skip


def _serves(host: SystemdHost) -> bool:
    """Report whether the member has a leader and answers a client with the host's own certificate."""
    store = "/etc/credstore/flanpyd.etcd-"
    asked = host.run(
        "env", "ETCDCTL_API=3", "etcdctl", f"--endpoints=https://{host.address}:{CLIENT_PORT}", f"--cacert={AUTHORITY}",
        f"--cert={store}certfile", f"--key={store}keyfile", "get", "x", check=False,
    )  # fmt: skip
    return asked.returncode == 0
