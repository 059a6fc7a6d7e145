"""Gathers the facts, once. Each source has a deadline of its own, and one that fails is a line in `unread`, no more.

All together have one, too.

Owns the order: the daemon first, whose settings say where the rest is to be found. Must not judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, TypeVar

from flanpy.api.reading import read
from flanpy.api.status import StatusDocument
from flanpy.cluster.place import AUTHORITY_FILE, remembered
from flanpy.doctor import etcd, host
from flanpy.doctor.addresses import networks
from flanpy.doctor.facts import Facts, Told, Traced
from flanpy.doctor.packets import is_for_idle_bridge, packets
from flanpy.errors import MALFORMED, ControlUnreachable, FlanpyError
from flanpy.host import subnet_env
from flanpy.host.subnet_env import SubnetEnv
from flanpy.model.condition import Condition
from flanpy.trace import iproute
from flanpy.trace.read import Reading
from flanpy.trace.walk import walk

T = TypeVar("T")

DOCUMENTS: Final = ("status", "subnets", "peers", "diff", "events", "config", "verdict")

_NONSENSE = (OSError, *MALFORMED)
"""What a reader meets in an answer of another shape than it knows: the source is unread then."""

PATIENCE: Final = 30.0
"""Seconds after which no further source is read. Each has its own deadline; on a host where all hang they add up."""

_TUNNEL: Final = "tunnel.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """`ask` gives a document of the daemon; `settings` are this command's, by option, as an operator writes them.

    `in_files` are those of them that a file says. `etcd_named`: the command line says which etcd.
    """

    ask: Callable[[str], Any]
    settings: Mapping[str, str]
    in_files: frozenset[str] = frozenset()
    etcd_named: bool = False


def gather(sources: Sources) -> Facts:
    """Everything that can be had."""
    return _Gathering(sources).facts()


class _Gathering:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._unread: dict[str, str] = {}
        self._until = time.monotonic() + PATIENCE
        self._daemon_problem = ""

    def facts(self) -> Facts:
        answers = self._answers()
        in_force = _settings_in(answers.get("config"))
        settings = {**self._sources.settings, **in_force}
        env, env_text = self._subnet_env(settings)
        networks, own = _overlay(answers, env)
        devices = self._try("links", iproute.devices)
        facts = Facts(
            now=time.time(),
            answers=answers,
            daemon_problem=self._daemon_problem,
            networks=networks,
            own=own,
            env_text=env_text,
            env_mtu=env.mtu if env else 0,
            env_own=_subnets(env),
            devices=devices,
            addresses=self._try("addresses", iproute.addresses) or {},
            routes=self._try("routes", host.routes) or (),
            sysctls=host.sysctls(devices or ()),
            nameservers=self._try("resolv.conf", host.nameservers) or (),
            insert_failed=host.insert_failed(),
            endpoints=tuple(self._endpoints(settings)),
            docker=self._docker(answers, env),
            docker_after=self._try("systemd", host.docker_after),
            told=_told(self._sources, settings, in_force),
        )
        return self._with_packets(facts, settings)

    def _with_packets(self, facts: Facts, settings: Mapping[str, str]) -> Facts:
        links = facts.overlay_links
        return replace(
            facts,
            checksums=self._try("offloads", lambda: host.checksums(links)) or {},
            traced=tuple(self._traced(facts, settings)),
            unread=self._unread,
        )

    def _try(self, name: str, read: Callable[[], T]) -> T | None:
        if time.monotonic() > self._until:
            self._unread[name] = f"not asked: what came before took more than {PATIENCE:g} s"
            return None
        try:
            return read()
        except (FlanpyError, *_NONSENSE) as error:
            self._unread[name] = " ".join(str(error).split()) or type(error).__name__
            return None

    def _answers(self) -> dict[str, Any]:
        """All documents that can be had: one that does not answer is asked once, one that gives its status is well."""
        found = {}
        for name in DOCUMENTS:
            try:
                found[name] = self._sources.ask(name)
            except FlanpyError as error:
                if isinstance(error, ControlUnreachable) and not found:
                    self._daemon_problem = str(error)
                    self._unread["daemon"] = str(error)
                    break
                self._unread[f"daemon: {name}"] = str(error)
        return found

    def _subnet_env(self, settings: Mapping[str, str]) -> tuple[SubnetEnv | None, str]:
        path = Path(settings.get("subnet-file") or "/run/flannel/subnet.env")
        found = subnet_env.read(path)
        if isinstance(found, SubnetEnv):
            return found, ""
        return None, found.reason or f"there is no {path}"

    def _endpoints(self, settings: Mapping[str, str]) -> list[Any]:
        if settings.get("leases-from") and not self._sources.etcd_named:
            return []  # a list stands in for etcd
        chosen = self._sources.settings if self._sources.etcd_named else settings
        urls = [url.strip() for url in chosen.get("etcd-endpoints", "").split(",") if url.strip()]
        files = {name: chosen.get(f"etcd-{name}", "") for name in ("cafile", "certfile", "keyfile")}
        directory = Path(settings.get("state-dir") or "/var/lib/flanpy")
        place = remembered(directory) if settings.get("etcd-follow") == "true" else None
        if place is not None and not self._sources.etcd_named:
            urls = list(place.endpoints)
            files |= {"cafile": str(directory / AUTHORITY_FILE)} if place.authority else {}
        return self._try("etcd", lambda: etcd.endpoints(urls, files)) or []

    def _docker(self, answers: Mapping[str, Any], env: SubnetEnv | None) -> Condition | None:
        """Our own look, where there is no daemon that has looked; files and socket are those of our own settings."""
        if env is None or "status" in answers:
            return None
        from flanpy.doctor.docker_look import look  # noqa: PLC0415, Docker's SDK is a third of a second

        return self._try("docker", lambda: look(self._sources.settings, env))

    def _traced(self, facts: Facts, settings: Mapping[str, str]) -> list[Traced]:
        tunnel = Path(settings.get("run-dir") or "/run/flanpy") / _TUNNEL
        found = []

        def ask(resource: str) -> Any:
            if resource not in facts.answers:
                raise ControlUnreachable(f"the daemon gave no {resource}")
            return facts.answers[resource]

        for source, destination in packets(facts):
            seen = self._try(
                f"trace to {destination}",
                lambda to=destination, of=source: Reading(ask, tunnel).look(to, of),  # type: ignore[misc]
            )
            if seen is None or is_for_idle_bridge(seen):
                continue
            walked = self._try(f"trace to {destination}", lambda seen=seen: walk(seen))  # type: ignore[misc]
            if walked is not None:
                found.append(Traced(seen, walked))
        return found


def _settings_in(config: Any) -> dict[str, str]:
    """Return the settings in force, as the daemon reports them."""
    rows = config if isinstance(config, list) else []
    named = [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("name"), str)]
    return {row["name"]: str(row.get("value", "")) for row in named}


def _subnets(env: SubnetEnv | None) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(filter(None, (env.subnet, env.ipv6_subnet))) if env else ()


def _overlay(answers: Mapping[str, Any], env: SubnetEnv | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    status = read(StatusDocument, answers.get("status"))
    whole = networks(status.network.network, status.network.network6) if status.network is not None else ()
    own = networks(status.own.subnet, status.own.subnet6) if status.own is not None else ()
    if not whole and env is not None:
        whole = tuple(filter(None, (env.network, env.ipv6_network)))
    return whole, own or _subnets(env)


def _told(sources: Sources, settings: Mapping[str, str], in_force: Mapping[str, str]) -> Told:
    differing = [
        f"{name}: the file says {sources.settings[name]!r}, in force is {in_force[name]!r}"
        for name in sorted(sources.in_files & in_force.keys())
        if sources.settings.get(name) != in_force[name]
    ]
    named = ("iface", "iface-regex", "iface-can-reach")
    return Told(
        masquerade=settings.get("ip-masq") == "true",
        random_ports=settings.get("ip-masq-fully-random-disable") != "true",
        tx_checksum=settings.get("vxlan-tx-checksum", "auto"),
        underlay_named=any(settings.get(name) for name in named),
        etcd_user=settings.get("etcd-username", ""),
        public_ip_named=any(settings.get(name) for name in ("public-ip", "public-ipv6")),
        stale=tuple(differing),
    )
