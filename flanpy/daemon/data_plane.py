"""The udp backend's data plane in the daemon: which plane is to run, the part of the kernel that runs it, its metrics.

Everything is loaded only once a network is of the udp backend: the other backends pay nothing for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

from flanpy.backend.udp import read_port
from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.host_files import TunnelMemory
from flanpy.errors import KernelError
from flanpy.log import get_logger
from flanpy.model.network.network import NetworkConfig
from flanpy.model.tunnel import Count
from flanpy.model.world import Policy
from flanpy.udp.forwarders import Forwarders
from flanpy.udp.kernel_plane import KernelPlane
from flanpy.udp.plane import UdpPlane
from flanpy.udp.ports import Workshop
from flanpy.udp.sockets import open_socket, port_stays_taken
from flanpy.udp.supervisor import Plane, Supervisor

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = get_logger()

KERNEL = "kernel (eBPF)"


OFFER_S = 2.0
"""Seconds that peers have to hear of our in-kernel plane before it sends: until then they drop what it sends."""


class Stage(IntEnum):
    """The progress of the in-kernel plane on a host that takes the tunnel over; elsewhere it is WHOLE at once.

    Packets pass at every step: first through the user-space plane alone; then the filters take incoming packets; then
    peers are notified and send through their in-kernel planes; at last our in-kernel plane sends, too.
    """

    OCCUPIED = 1
    HEARING = 2
    OFFERED = 3
    WHOLE = 4


class DataPlane:
    """`on_down` is called when the plane no longer stands as it should, `note` with what runs, for people.

    `on_refit` is called when `fit` says another thing from then on: the in-kernel plane was chosen and turned out not
    to run here, or was not promised to peers while another program kept the tunnel, and now stands.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        on_down: Callable[[], None],
        on_refit: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._wanted = settings.udp_plane
        self._clock = clock
        self._note = note
        self._on_refit = on_refit
        self._kernel_plane = KernelPlane(self._refused)
        self._decided: bool | None = None
        self._stage = Stage.WHOLE
        self._settling: asyncio.Task[None] | None = None
        self._forwarders = Forwarders()
        workshop = Workshop(_open_queues, open_socket, self._forwarders.spawn, self._kernel_plane)
        self._supervisor = Supervisor(workshop, clock, on_down, self._stands)
        self._memory = TunnelMemory(settings.run_dir)
        self.part = UdpPlane(self._supervisor, workshop, self._memory)

    def fit(self, policy: Policy, network: NetworkConfig) -> Policy:
        """The policy for this network: whether the in-kernel plane is used, decided when first asked for."""
        if network.backend_type != "udp":
            self._forwarders.dismiss()
            return policy
        if self._decided is None:
            self._decided = self._decide()
            if self._decided and self._is_occupied(read_port(network.backend_options)):
                self._stage = Stage.OCCUPIED
                self._forwarders.prepare()
        return self.refit(policy)

    def refit(self, policy: Policy) -> Policy:
        """Return the present policy: whether the in-kernel plane is used, and whether peers are notified."""
        return replace(
            policy,
            fast_path=bool(self._decided) and self._stage > Stage.OCCUPIED,
            fast_path_offered=self._stage >= Stage.OFFERED,
            fast_path_quiet=self._stage < Stage.WHOLE,
        )

    def _is_occupied(self, port: int) -> bool:
        """Report whether another program, flanneld, runs the tunnel: it could not read the packets of a fast peer."""
        occupied = port_stays_taken(port)
        if occupied:
            log.info(
                "data_plane_occupied", reason=f"UDP port {port} is taken", action="taken over once it is free"
            )
        return occupied

    def _stands(self) -> None:
        end = self._supervisor.standing
        if self._stage is Stage.OCCUPIED:
            self._advance(Stage.HEARING)
        elif self._stage is Stage.HEARING and end is not None and end.fast:
            self._advance(Stage.OFFERED)
            self._settling = asyncio.create_task(self._settle(), name="udp_offer")

    async def _settle(self) -> None:
        await self._clock.sleep(OFFER_S)
        self._advance(Stage.WHOLE)

    def _advance(self, stage: Stage) -> None:
        self._stage = stage
        self._on_refit()

    def _decide(self) -> bool:
        reason = "udp-plane is user" if self._wanted == "user" else self._unavailable()
        fast = not reason or self._wanted == "kernel"
        self._tell(fast=fast, reason=reason)
        return fast

    def _unavailable(self) -> str:
        try:
            return self._kernel_plane.unavailable()
        except KernelError as error:
            return str(error)

    def _refused(self, reason: str) -> None:
        if self._wanted == "auto" and self._decided:
            self._decided = False
            self._tell(fast=False, reason=reason)
            self._on_refit()

    def _tell(self, *, fast: bool, reason: str) -> None:
        log.info("data_plane_chosen", plane=Plane.KERNEL if fast else Plane.USER, reason=reason or None)
        self._note(KERNEL if fast else f"user space: {reason}")

    async def close(self) -> None:
        """End the process. Device and filters stay: they carry packets without supervision."""
        with suppress(KernelError):
            await self._supervisor.stop(detach=False)
        self._forwarders.dismiss()
        if self._settling is not None:
            self._settling.cancel()
        await self._memory.close()

    def counts(self) -> Iterator[Metric]:
        """Packets, bytes and drops of both planes, and starts of the process."""
        if self._decided is None:
            return
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415, imported with the listeners

        from flanpy.status.metrics.collector import counter  # noqa: PLC0415

        for unit, (sent, received) in _CARRIED.items():
            yield counter(
                f"flanpy_udp_{unit}",
                f"Inner {unit} carried, by plane and direction.",
                ("plane", "direction"),
                self._values({sent: "tx", received: "rx"}),
            )
        yield counter(
            "flanpy_udp_dropped_packets",
            "Packets not carried, by plane and reason.",
            ("plane", "reason"),
            self._values({count: count.value for count in Count if count not in _ALL_CARRIED}),
        )
        starts = [((Plane.USER.value,), float(self._supervisor.starts))]
        yield counter("flanpy_udp_plane_starts", "Starts of the user-space process.", ("plane",), starts)
        family = GaugeMetricFamily(
            "flanpy_udp_plane_standing", "1 for a plane that runs now.", labels=("plane",)
        )
        end = self._supervisor.standing
        family.add_metric((Plane.KERNEL.value,), float(end is not None and end.fast))
        family.add_metric((Plane.USER.value,), float(end is not None))
        yield family

    def _values(self, names: dict[Count, str]) -> list[tuple[tuple[str, ...], float]]:
        return [
            ((plane.value, name), float(total.counts[count]))
            for plane, total in self._supervisor.totals.items()
            for count, name in names.items()
        ]


_CARRIED = {
    "packets": (Count.TX_PACKETS, Count.RX_PACKETS),
    "bytes": (Count.TX_BYTES, Count.RX_BYTES),
}
_ALL_CARRIED = frozenset(count for pair in _CARRIED.values() for count in pair)


def _open_queues(link: str) -> tuple[int, ...]:
    from flanpy.udp.forwarder.tun import open_queues  # noqa: PLC0415, for udp only

    return open_queues(link)
