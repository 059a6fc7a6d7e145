"""Owns the lab of the etcd faults: three guarded members, three resident hosts and a newcomer, all by settings files.

The daemons know nothing by flag or environment but where their settings are, as on a host that systemd runs. The
network has room for few hosts, so that two that lose their leases at once may well want the same subnet.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from integration.etcd.api import ETCD_PREFIX
from integration.etcd.cluster import CLIENT_PORT, Etcd, EtcdMember
from integration.etcd.guarded import GuardedEtcd, member_flags
from integration.etcd.pki import Authority
from integration.hosts.daemon import HEALTHZ_PORT, METRICS_PORT, HostDaemon
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net.namespaces import LabError
from integration.net.topology import Seat
from integration.net.waiting import wait_until

USER = "flanpy"
USER_PASSWORD = "swordfish-of-the-overlay"
NEXT_PASSWORD = "swordfish-of-the-next-year"
ROOT_PASSWORD = "swordfish-of-the-root"
PAGE_TOKEN = "swordfish-of-the-status-page"
RESIDENTS = 3
LEASE_TTL_S = 20
QUOTA = 16 << 20
SHORT_TOKENS = ("--auth-token-ttl", "5")
"""A token that nobody used for so many seconds is none any more."""
CLIENT_NAMES = "DNS:flanpy.invalid"
NETWORK_CONFIG = {
    "Network": "10.50.0.0/16",
    "SubnetMin": "10.50.1.0",
    "SubnetMax": "10.50.6.0",
    "Backend": {"Type": "vxlan"},
}
_WATCHED = re.compile(r"^flanpy_store_watch_revision (\S+)$", re.MULTILINE)
_CONNECTIONS = ("ss", "-Htn", "state", "established", "dport", "=", f":{CLIENT_PORT}")
WITNESS = "10.50.200.0-24"
"""A subnet that no host may take: its lease is put and deleted to see who follows etcd."""


class GuardedDaemon(HostDaemon):
    """A daemon with everything in its settings file."""

    secrets: Path
    authority: Authority
    lease_ttl: int = LEASE_TTL_S
    password: str = USER_PASSWORD

    @property
    def settings_path(self) -> Path:
        """Its settings file."""
        return self.directory / "flanpyd.toml"

    @property
    def flags(self) -> list[str]:
        """None: no secret can show in the process list, nor an endpoint that a reload could not change."""
        return []

    @property
    def environment(self) -> dict[str, str]:
        """Return the variable that names the settings file."""
        return {"FLANPYD_CONFIG": str(self.settings_path)}

    def write_settings(self, **changes: object) -> None:
        """The settings file, readable by its owner only; `changes` by option name, with underscores."""
        settings = {
            "etcd_endpoints": self.endpoints.split(","),
            "etcd_prefix": ETCD_PREFIX,
            "etcd_cafile": str(self.authority.certificate),
            "etcd_certfile": str(self.secrets / f"{self.host}.crt"),
            "etcd_keyfile": str(self.secrets / f"{self.host}.key"),
            "etcd_username": USER,
            "etcd_password": self.password,
            "node_id": self.host,
            "state_dir": str(self.state_dir),
            "run_dir": str(self.run_dir),
            "subnet_file": str(self.subnet_path),
            "iface": [self.nic],
            "healthz_ip": "127.0.0.1",
            "healthz_port": HEALTHZ_PORT,
            "metrics_listen": f"127.0.0.1:{METRICS_PORT}",
            "log_format": "json",
            "subnet_lease_ttl": f"{self.lease_ttl}s",
            "subnet_lease_renew_margin": f"{self.lease_ttl // 2}s",
            "page_token_file": str(self.secrets / "page.token"),
            **changes,
        }
        self.settings_path.touch(mode=0o600)
        self.settings_path.write_text(
            "".join(f"{name.replace('_', '-')} = {json.dumps(value)}\n" for name, value in settings.items())
        )


class GuardedLab(Lab):
    """`start_residents()` brings it to where faults may strike; `tokens` are etcd's flags about tokens."""

    def __init__(self, *, tokens: Sequence[str] = SHORT_TOKENS, lease_ttl: int = LEASE_TTL_S) -> None:
        super().__init__(hosts=RESIDENTS + 1, etcd_members=4)
        self._tokens = tuple(tokens)
        self._lease_ttl = lease_ttl
        self._witnesses = 0
        self.token_ttl = 5.0
        self.authority: Authority
        self.guarded: GuardedEtcd
        self.early_backup: Path
        """Of before the last resident joined."""

    def _cluster(self, seats: Sequence[Seat]) -> Etcd:
        self.authority = Authority(self.directory / "pki")
        addresses = ",".join(f"IP:{seat.address}" for seat in seats)
        self.server_names = f"IP:127.0.0.1,{addresses}"
        flags = [
            *member_flags(
                self.authority,
                server=self.authority.issue("server", names=self.server_names),
                peer=self.authority.issue("peer", names=self.server_names),
            ),
            "--quota-backend-bytes",
            str(QUOTA),
        ]
        members = [
            EtcdMember(
                seat.namespace.rpartition("-")[2],
                seat.namespace,
                seat.address,
                directory=self.directory,
                scheme="https",
                flags=flags,
            )
            for seat in seats
        ]
        self.guarded = GuardedEtcd(members, password=ROOT_PASSWORD)
        self.guarded.tokens = self._tokens
        return self.guarded

    def _daemon(self, seat: Seat) -> HostDaemon:
        name = seat.namespace.rpartition("-")[2]
        daemon = GuardedDaemon(
            name,
            seat.namespace,
            self._program,
            directory=self.directory / name,
            endpoints=self.guarded.endpoints,
        )
        daemon.secrets, daemon.authority = self.directory / "pki", self.authority
        daemon.lease_ttl = self._lease_ttl
        self.authority.issue(name, names=CLIENT_NAMES)
        (daemon.secrets / "page.token").touch(mode=0o600)
        (daemon.secrets / "page.token").write_text(PAGE_TOKEN + "\n")
        daemon.write_settings()
        return daemon

    @property
    def residents(self) -> tuple[Host, ...]:
        """The hosts that forward all the while."""
        return self.hosts[:RESIDENTS]

    @property
    def newcomer(self) -> Host:
        """The host that is not there until somebody starts it."""
        return self.hosts[RESIDENTS]

    def start_residents(self) -> None:
        """Users, network, and the resident daemons with a container each."""
        self.guard()
        *most, last = self.residents
        for host in most:
            host.daemon.launch()
        for host in most:
            host.daemon.wait_ready()
        self.early_backup = self.guarded.snapshot(self.directory / "early.db")
        last.daemon.up()
        for host in self.residents:
            host.attach_container()

    def guard(self) -> None:
        """Set up an empty etcd as an operator does: the network, the users, and then the demand for logins."""
        self.configure(NETWORK_CONFIG)
        api = self.guarded.api
        api.add_user(USER, USER_PASSWORD, prefix=ETCD_PREFIX + "/")
        api.demand_login()

    def use_endpoints(self, endpoints: str) -> None:
        """Write other endpoints into every host's settings, and tell the daemons that run."""
        for host in self.hosts:
            assert isinstance(host.daemon, GuardedDaemon)
            host.daemon.endpoints = endpoints
            host.daemon.write_settings()
            host.daemon.signal(signal.SIGHUP)

    def local_ports(self, host: Host) -> list[str]:
        """This end of each connection that the host has to etcd now."""
        ports = re.findall(rf":(\d+)\s+\S+:{CLIENT_PORT}\b", host.run(*_CONNECTIONS).stdout)
        if not ports:
            raise LabError(f"{host.name} has no connection to etcd")
        return ports

    def used_member(self) -> EtcdMember:
        """The member that most connections of the first resident lead to now."""
        ends = re.findall(rf"([\d.]+)\]?:{CLIENT_PORT}\b", self.residents[0].run(*_CONNECTIONS).stdout)
        found = [member for member in self.guarded.members if member.address in ends]
        if not found:
            raise LabError(f"{self.residents[0].name} has no connection to a member of etcd, only to {ends}")
        return max(found, key=lambda member: ends.count(member.address))

    def witness(self, hosts: Sequence[Host] | None = None, *, deadline: float = 30.0) -> float:
        """Put a lease of a host that has just joined; the seconds from etcd's word to every resident's route to it.

        The lease is deleted again, and its routes are gone at the end.
        """
        key = f"{ETCD_PREFIX}/subnets/{WITNESS}"
        watched = self.residents if hosts is None else hosts
        self._witnesses += 1
        tail = f"{self._witnesses >> 8:02x}:{self._witnesses & 255:02x}"
        wait_until(lambda: self._put(key, tail), "etcd takes a lease", deadline=deadline, poll=0.05)
        start = time.monotonic()
        for host in watched:
            wait_until(lambda host=host: self._routed(host), f"{host.name} follows etcd", deadline=deadline)  # type: ignore[misc]
        took = time.monotonic() - start
        self.guarded.api.delete(key)
        for host in watched:
            wait_until(lambda host=host: not self._routed(host), f"{host.name} forgets", deadline=deadline)  # type: ignore[misc]
        return took

    def _put(self, key: str, tail: str) -> bool:
        value = {
            "PublicIP": "10.99.16.240",
            "PublicIPv6": None,
            "BackendType": "vxlan",
            "BackendData": {"VNI": 1, "VtepMAC": f"02:fa:00:00:{tail}"},
        }
        try:
            self.guarded.api.put(key, json.dumps(value))
        except LabError:
            return False
        return True

    def _routed(self, host: Host) -> bool:
        return WITNESS.replace("-", "/") in host.routes()

    def leased(self) -> dict[str, str]:
        """The subnet keys that say whose they are, by host."""
        prefix = f"{ETCD_PREFIX}/subnets/"
        found = {}
        for entry in self.guarded.api.list(prefix):
            if node := json.loads(entry.value).get("NodeID"):
                found[str(node)] = entry.key.removeprefix(prefix)
        return found

    def touch_lease(self, host: Host, *, seen_by: Host) -> None:
        """Write a host's lease again as it is, so that its key is the newest, and wait until another saw that."""
        prefix = f"{ETCD_PREFIX}/subnets/"
        key = f"{prefix}{self.leased()[host.name]}"
        entry = next(entry for entry in self.guarded.api.list(prefix) if entry.key == key)
        revision = self.guarded.api.put(key, entry.value, lease=entry.lease)

        wait_until(
            lambda: self.watched(seen_by) >= revision, f"{seen_by.name} is at {revision}", deadline=30.0
        )

    def watched(self, host: Host) -> int:
        """The revision that a daemon's watch has come to."""
        found = _WATCHED.search(host.daemon.metrics())
        return int(float(found[1])) if found else 0

    def wait_leased(self, hosts: Sequence[Host] | None = None, *, deadline: float = 30.0) -> float:
        """Wait until each host has its own subnet's key in etcd, the one that its subnet.env names."""

        def stand() -> bool:
            leased = self.leased()
            return all(
                leased.get(host.name) == str(host.subnet_file.subnet.network).replace("/", "-")
                for host in (self.residents if hosts is None else hosts)
            )

        return wait_until(stand, "every host's lease stands", deadline=deadline, poll=0.05)
