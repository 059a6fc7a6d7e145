"""The connection of the probes with the rest of the daemon: the targets, the local faults, and the reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from flanpy.backend import choice
from flanpy.clock import Clock, set_within
from flanpy.config import ListenAddress, Settings
from flanpy.config.settings import PageOptions
from flanpy.daemon.latest import Latest
from flanpy.errors import HostError
from flanpy.model.address import Family, IPAddress
from flanpy.model.naming import HostNames
from flanpy.model.objects import Address, FdbEntry, KernelObject, Neighbour, Route, VxlanLink
from flanpy.model.reach import ReachReport
from flanpy.plan.host_names import own_name
from flanpy.plan.policy_routing import led_astray
from flanpy.plan.render import describe
from flanpy.probe.diagnosis import LocalFaults
from flanpy.probe.ear import TunnelEntry
from flanpy.probe.exchange import MeshServer
from flanpy.probe.mesh import Mesh, Node
from flanpy.probe.prober import Prober
from flanpy.probe.rows import Document, Told, own_document
from flanpy.probe.target import TUNNELS, Target, overlay_address, targets, tokens_at
from flanpy.probe.tcp_probe import tcp_probe_at
from flanpy.reconcile.outcome import Pass
from flanpy.status.judge.firewall import rules

FIRST_LOOK_S = 5.0
"""Seconds to wait for the first pass before a first round without targets."""


class Probing:
    """Runs the probes of one daemon, if they are on."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        node_id: str,
        *,
        clock: Clock,
        latest: Latest,
        publish: Callable[[ReachReport], None],
        corrupted: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._latest = latest
        self._planned = asyncio.Event()
        self._of: tuple[object, tuple[Target, ...]] = (None, ())
        self.prober = Prober(
            clock=clock,
            here=node_id,
            interval=lambda: self._settings().probe.interval,
            targets=self._targets,
            local_faults_of=self._local_faults,
            publish=publish,
            tcp_probe=tcp_probe_at(settings().probe.mesh_port or 1, clock),
        )
        self.prober.check_checksums(settings().probe.mesh_port, self._vxlan_addresses, corrupted)
        port = settings().probe.mesh_port if settings().probe.on else 0
        self.mesh = Mesh(clock=clock, port=port, nodes=self._nodes, own=self._own, token=self._own_token)
        self._server = MeshServer(
            clock=clock, port=port, address=self._own_address, tokens=self._tokens, document=self._own
        )
        self._here = node_id
        self._port = port

    async def run(self) -> None:
        """Probe until cancelled; first when there is a pass to know peers by."""
        if not self._settings().probe.on:
            await asyncio.Event().wait()
        await set_within(self._planned, self._clock, FIRST_LOOK_S)
        await self.prober.run()

    async def serve(self) -> None:
        """Tell other hosts what was measured here, until cancelled."""
        if not self._port:
            await asyncio.Event().wait()
        await self._server.run()

    def pass_done(self, outcome: Pass) -> None:
        if outcome.decision.desired is not None:
            self._planned.set()

    async def probe_now(self) -> None:
        """One round at once; raises HostError if probes are off."""
        if not self._settings().probe.on:
            raise HostError("probe false: nothing is probed; set --probe to true and restart")
        await self.prober.round()

    def _targets(self) -> tuple[Target, ...]:
        """Return the last pass's targets, recomputed only if the world changed: a thousand peers take milliseconds."""
        last = self._latest.last
        if last is None or last.decision.desired is None:
            return ()
        if self._of[0] is not last.world:
            unreached = {lease.key for lease in last.unreached}
            peers = [lease for lease in last.admission.peers if lease.key not in unreached]
            self._of = (last.world, targets(last.world, peers))
        return self._of[1]

    def _vxlan_addresses(self) -> dict[Family, tuple[IPAddress, TunnelEntry]]:
        """Return this host's own where the overlay is of VXLAN: by them peers check the checksums of its packets."""
        last = self._latest.last
        if last is None or not self._port or last.decision.desired is None or last.world.own is None:
            return {}
        desired = last.decision.desired.values()
        ends = {
            obj.name: TunnelEntry(obj.local, obj.port, self._port)
            for obj in desired
            if isinstance(obj, VxlanLink)
        }
        found = [obj for obj in desired if isinstance(obj, Address) and obj.link in ends]
        return {Family.of(obj.interface.ip): (obj.interface.ip, ends[obj.link]) for obj in found}

    # What hosts tell each other

    def _nodes(self) -> list[Node]:
        last = self._latest.last
        own = last.world.own if last is not None else None
        found: dict[str, Node] = {}
        if last is not None and own is not None:
            found[str(own.key)] = Node(self._here, str(own.key), host=own_name(last.world))
        for target in self._targets():
            subnet = str(target.key)
            address = target.overlay if target.certain else target.underlay
            found.setdefault(subnet, Node(target.node_id or subnet, subnet, address, target.host))
        if last is not None and len(found) <= len(
            last.admission.peers
        ):  # known, though there is no way to them now
            names = HostNames.among(last.world.view.leases.values())
            for lease in last.admission.peers:
                subnet = str(lease.key)
                found.setdefault(subnet, Node(lease.record.node_id or subnet, subnet, None, names.of(lease)))
        return list(found.values())

    def _own(self) -> Document:
        last, report = self._latest.last, self._latest.reach
        own = last.world.own if last is not None else None
        subnet = str(own.key) if own is not None else ""
        return own_document(
            report or ReachReport(),
            node_id=self._here,
            subnet=subnet,
            at=self._clock.wall(),
            told=self._told(),
        )

    def _told(self) -> Told | None:
        """Return what this host's page shows anyway, None without one."""
        page, docker = self._settings().page, self._latest.docker
        if page.listen is None:
            return None
        found = docker.found if docker is not None else None
        networks = (found.default, found.own) if found is not None else ()
        names = {name for network in networks if network is not None for name in network.containers}
        return Told(self._way_to(page), tuple(sorted(names)))

    def _way_to(self, page: PageOptions) -> str:
        """Return the address at which others see this host's page, "" for one on loopback."""
        address = page.listen
        if address is not None and address.host.is_unspecified:
            last = self._latest.last
            underlay = last.world.facts.underlay if last is not None else None
            local = underlay.address or underlay.address6 if underlay is not None else None
            address = ListenAddress(local, address.port) if local is not None else None
        if address is None or address.host.is_loopback:
            return ""
        return f"http{'s' if page.cert else ''}://{address}/"

    def _own_address(self) -> IPAddress | None:
        """Return the address at which other hosts ask this one: the tunnel's if there is one, else the underlay's."""
        last = self._latest.last
        if last is None or last.decision.desired is None or last.world.own is None or not last.world.network:
            return None
        underlay = last.world.facts.underlay
        for family in last.world.network.families:
            subnet = last.world.own.key.of(family)
            if subnet is not None and last.world.own.record.backend_type in TUNNELS:
                return overlay_address(subnet, tunnel=True)
            if underlay is not None and underlay.local(family) is not None:
                return underlay.local(family)
        return None

    def _tokens(self, address: IPAddress) -> frozenset[str]:
        """Return what a peer at that address proves itself by, none if there is no peer that asks."""
        return tokens_at(address, self._targets())

    def _own_token(self) -> str:
        last = self._latest.last
        return last.world.own.record.mesh_token if last is not None and last.world.own is not None else ""

    # What this host knows of itself

    def _local_faults(self, target: Target) -> LocalFaults:
        last, tuning = self._latest.last, self._latest.tuning
        if last is None:
            return LocalFaults()
        standing = rules(last)
        path = tuning.reverse_path if tuning is not None else None
        strict = ", ".join(path.strict) if path is not None and path.drops_lately else ""
        return LocalFaults(
            underlay=_dead_underlay(last),
            entries="; ".join(_wrong_entries(last, target)),
            lacking="; ".join(_lacking(last, target)),
            firewall="" if standing.healthy else standing.message,
            reverse_path=f"rp_filter is strict on {strict} and drops packets" if strict else "",
        )


def _dead_underlay(last: Pass) -> str:
    facts = last.world.facts
    if facts.underlay is None:
        return facts.problem
    return "" if facts.underlay.carrier else f"{facts.underlay.link} has no carrier"


def _wrong_entries(last: Pass, target: Target) -> Iterator[str]:
    """Entries of others where ours should stand that send packets to the peer elsewhere."""
    for conflict in last.decision.difference.conflicts:
        if isinstance(conflict.wanted, Neighbour | FdbEntry) and _leads_to(conflict.wanted, target):
            yield f"a foreign entry stands where ours should: {describe(conflict.found)}"


def _lacking(last: Pass, target: Target) -> Iterator[str]:
    """Yield the reason for each missing entry to the peer: a refusal of the kernel, or a foreign route in its place."""
    for conflict in last.decision.difference.conflicts:
        if isinstance(conflict.wanted, Route) and _leads_to(conflict.wanted, target):
            yield f"a foreign route stands where ours should: {describe(conflict.found)}"
    subnet = target.key.of(target.family)
    for astray in led_astray(last.world, [subnet] if subnet is not None else [], choice.links(last.world)):
        yield f"a routing rule goes before the overlay's routes: {astray}"
    for failure in last.failures:
        if _leads_to(failure.op.obj, target):
            yield f"the kernel refused an entry: {failure.error}"


def _leads_to(obj: KernelObject, target: Target) -> bool:
    match obj:
        case Neighbour(address=address):
            return address == target.overlay
        case FdbEntry(destination=destination):
            return destination == target.underlay
        case Route(destination=network):
            return target.overlay in network
        case _:
            return False
