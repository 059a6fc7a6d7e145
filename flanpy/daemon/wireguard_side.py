"""WireGuard's secrets in the daemon: this host's key pair and the network's pre-shared key, given to the kernel's part.

The key is read beside the loop when a network first asks for WireGuard, and no plan has it before the part does. A file
that cannot be used is a condition and left as it is: the device goes on with the key that it has, and the file is read
again every few seconds. Must not: write over a key, or let one into a log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from flanpy.backend.wireguard import shared_key
from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.wireguard_rotation import KeyRotation
from flanpy.errors import ConfigError, FlanpyError, KernelError
from flanpy.host.wireguard_key import KeyPair, key_pair
from flanpy.kernel.wireguard_part import WireguardPart
from flanpy.log import get_logger, protect
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import Key
from flanpy.model.sessions import Asking, SessionFaults, faults, follow
from flanpy.model.wireguard import LINKS, SeenPeer, SessionState, digest, fingerprint, session_state, written
from flanpy.model.world import Policy, World

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = get_logger()

AGAIN_S: Final = 5.0
"""Seconds until a key file that could not be used is read again."""


class WireguardSide:
    """`use` gets the policy that has our public key, `unusable` one line for people, "" once all is well.

    `on_moved` is called when somebody else changed a device or a peer, `ailing` with the peers that ail, each time that
    others do. `shared_by` reports whether other hosts hear of what we write.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        world: Callable[[], World],
        on_moved: Callable[[], None],
        use: Callable[[Policy], None],
        unusable: Callable[[str], None],
        ailing: Callable[[SessionFaults], None],
        shared_by: Callable[[], bool] = lambda: True,
    ) -> None:
        self._state_dir = settings.state_dir
        self._clock = clock
        self._wanted = asyncio.Event()
        self._tell = unusable
        self._told = ""
        self._ailing = ailing
        self._asking: Mapping[Key, Asking] = {}
        self._faults = SessionFaults()
        self.part = WireguardPart(on_moved)
        self.rotation = KeyRotation(
            settings, self.part, clock=clock, world=world, use=use, shared_by=shared_by
        )

    def fit(self, policy: Policy, network: NetworkConfig) -> Policy:
        """Take the network's pre-shared key, and ask for our own; the policy stays as it is until that is here."""
        if network.backend_type == "wireguard":
            with suppress(ConfigError):  # it was refused before, and said so
                self._share(shared_key(network.backend_options))
            self._wanted.set()
        return policy

    def tasks(self) -> Mapping[str, Any]:
        """Return the tasks by name; each runs without end."""
        return {
            "wireguard_key": self._run(),
            "wireguard": self.part.watch(self._clock, self.look),
            "wireguard_handover": self.part.handover.run(self._clock),
        }

    def look(self) -> None:
        """Follow the sessions as the part read them."""
        self._asking = follow(self._asking, self.part.sessions, self._clock.monotonic())
        found = faults(self._asking.values(), self.part.strayed(), self._clock.wall())
        if found != self._faults:
            self._faults = found
            self._ailing(found)

    def counts(self) -> Iterator[Metric]:
        """Return the metrics of the peers as last read."""
        return session_counts(self.part.sessions, self._clock.wall())

    def close(self) -> None:
        """Close the netlink socket. Devices and keys stay in the kernel."""
        self.part.close()

    def _share(self, key: bytes) -> None:
        if any(key):
            protect(written(key))
        self.part.learn({}, {digest(key): key})

    async def _run(self) -> None:
        await self._wanted.wait()
        while (pair := await self._read()) is None:
            await self._clock.sleep(AGAIN_S)
        log.info("wireguard_key_read", key=fingerprint(pair.public))
        self.rotation.begin(pair)
        await self.rotation.run()

    async def _read(self) -> KeyPair | None:
        try:
            pair = await asyncio.to_thread(key_pair, self._state_dir, self._standing)
        except FlanpyError as error:
            self._say(str(error))
            return None
        self._say("")
        return pair

    def _standing(self) -> bytes | None:
        """Return the key of a device that stands, for a host without a file: flannel's, if it was killed."""
        for link in LINKS.values():
            with suppress(KernelError):
                if (private := self.part.private_key(link)) is not None:
                    return private
        return None

    def _say(self, error: str) -> None:
        if error and error != self._told:
            log.warning("wireguard_key_refused", error=error)
        if error != self._told:
            self._told = error
            self._tell(error)


def session_counts(sessions: Sequence[SeenPeer], now: float) -> Iterator[Metric]:
    """Yield peers by whether a session lives, and bytes; nothing where there is no device."""
    if not sessions:
        return
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415, imported with the listeners

    from flanpy.status.metrics.families import counter  # noqa: PLC0415

    states = Counter(session_state(one, now) for one in sessions)
    family = GaugeMetricFamily(
        "flanpy_wireguard_peers", "Peers of WireGuard, by whether a session lives.", labels=("state",)
    )
    for state in SessionState:
        family.add_metric((state.value,), float(states[state]))
    yield family
    passed = {"rx": sum(one.received for one in sessions), "tx": sum(one.sent for one in sessions)}
    rows = [((way,), float(count)) for way, count in passed.items()]
    yield counter("flanpy_wireguard_bytes", "Encrypted bytes of the present peers.", ("direction",), rows)
