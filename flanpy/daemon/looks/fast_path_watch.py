"""Decides twice a second whether containers' flows may be carried past this host's stack, and vouches for it if so.

The programs trust a flow's own proof; this is for what no proof tells: rules that look at each packet, and people who
want to see packets. Loads the fast path only where it is not switched off.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final, Never

from flanpy.children import DIRECTORY, command_of
from flanpy.clock import Clock
from flanpy.errors import MALFORMED, KernelError
from flanpy.kernel.sysctl import ProcSysctls, Sysctls
from flanpy.log import get_logger
from flanpy.model.fast_path import FastCounts, FastPathChoice, FastPathState, FastReason, FastTunnel
from flanpy.model.objects import VxlanLink
from flanpy.netfilter.look import Looker
from flanpy.reconcile.outcome import Pass
from flanpy.udp.bpf.netlink import TrafficControl

if TYPE_CHECKING:
    from flanpy.fastpath.carrier import Carrier
    from flanpy.fastpath.host_links import TunnelLinks

log = get_logger()

INTERVAL_S: Final = 0.5
"""Between two looks, each of some ten short system calls."""

OFF_INTERVAL_S: Final = 10.0
"""Between two looks whether the setting was changed while it is off."""

LOOK_REST_S: Final = 2.0
"""Between two looks at the rules: Docker changes them with each container that starts."""

REFUSED_REST_S: Final = 10.0
"""After a refusal by the kernel: it is seldom another one soon."""

_LOOK_DEADLINE_S: Final = 60.0
_LIBERAL: Final = "net/netfilter/nf_conntrack_tcp_be_liberal"
"""Connection tracking sees one packet of a thousand; strict, it takes the next for one outside the window."""

_OFF: Final = FastPathState(False, FastReason.OFF, "container-fast-path is off")


class FastPathWatch:
    """`last` gives the last pass, `note` takes each state that differs from the one before."""

    def __init__(
        self,
        choice: Callable[[], FastPathChoice],
        *,
        clock: Clock,
        last: Callable[[], Pass | None],
        note: Callable[[FastPathState], None],
        sysctls: Sysctls | None = None,
    ) -> None:
        self._choice = choice
        self._clock = clock
        self._last = last
        self._note = note
        self._sysctls = sysctls or ProcSysctls()
        self._looker = Looker()
        self._carrier: Carrier | None = None
        self._judged: tuple[object, str] | None = None
        self._looked_at = float("-inf")
        self._look: asyncio.Task[str] | None = None
        self._looks_for: object = None
        self._seen: object = None
        self._said: FastPathState | None = None
        self._refusal: FastPathState | None = None
        self._rests_until = float("-inf")

    async def run(self) -> Never:
        """Decide until cancelled."""
        try:
            while True:
                self._tell(self._step())
                off = self._choice() is FastPathChoice.OFF
                await self._clock.sleep(OFF_INTERVAL_S if off else INTERVAL_S)
        finally:
            self._close()

    def counts(self) -> dict[IPv4Address, FastCounts]:
        """Return what each peer's packets were counted as; nothing where the fast path is not loaded."""
        with suppress(KernelError):
            return self._carrier.counts() if self._carrier is not None else {}
        return {}

    def _step(self) -> FastPathState:
        if self._choice() is FastPathChoice.OFF:
            with suppress(KernelError):  # what cannot be taken away carries nothing without a word
                self._leave()
            return _OFF
        if self._refusal is not None and self._clock.monotonic() < self._rests_until:
            return self._refusal
        asked = self._choice() is FastPathChoice.ON
        try:
            state, links = self._judge()
            if self._carrier is not None and links is not None and state.on:
                self._carrier.vouch(links, emptied=self._is_new(links))
            elif self._carrier is not None:
                self._carrier.withhold()
        except KernelError as error:
            state = self._refusal = FastPathState(False, FastReason.REFUSED, str(error), asked)
            self._rests_until = self._clock.monotonic() + REFUSED_REST_S
            with suppress(KernelError):
                if self._carrier is not None:
                    self._carrier.withhold()
        return FastPathState(state.on, state.reason, state.why, asked)

    def _judge(self) -> tuple[FastPathState, TunnelLinks | None]:
        """Raises KernelError where the kernel does not bear it."""
        last = self._last()
        if last is None or last.decision.desired is None:
            return _no(FastReason.NOT_PLANNED, "lease, network config or underlay are not there yet"), None
        tunnel = tunnel_of(last)
        if tunnel is None:
            return _no(FastReason.NO_VXLAN, "the network has no VXLAN device for IPv4"), None
        carrier = self._opened()
        links = carrier.look(tunnel)
        if links is None or not links.bridges:
            return _no(
                FastReason.NOT_PLANNED, "no bridge of this host has an address of its subnet yet"
            ), None
        carrier.hold(tunnel, links)
        return self._doubts(carrier, links) or _yes(tunnel, links), links

    def _doubts(self, carrier: Carrier, links: TunnelLinks) -> FastPathState | None:
        from flanpy.fastpath.onlookers import filters_on, queue_on, sockets_on  # noqa: PLC0415, only where it is wanted

        unfit = self._unfit_rule()
        if unfit is None:
            return _no(FastReason.LOOKING, "the packet filter's rules are being read")
        if unfit:
            return _no(FastReason.RULES, f"a rule looks at each packet: {unfit}")
        if queue := queue_on(carrier.control, links):
            return _no(FastReason.SHAPED, f"a queue of {queue} may hold packets back")
        if self._choice() is FastPathChoice.AUTO:
            if link := sockets_on(links):
                return _no(FastReason.WATCHED, f"a packet socket, as of tcpdump, listens on {link}")
            if link := filters_on(carrier.control, links):
                return _no(FastReason.WATCHED, f"{link} has a traffic filter (tc) that is not flanpyd's")
        if self._sysctls.read(_LIBERAL) == "0":
            self._sysctls.write(_LIBERAL, "1")
        return None

    def _unfit_rule(self) -> str | None:
        """Return the rule that looks at each packet, "" if none does, None until the rules of now were read."""
        now = self._looker.signature()
        if self._look is not None and self._look.done():
            self._judged, self._look = (self._looks_for, self._look.result()), None
        if self._judged is not None and self._judged[0] == now:
            return self._judged[1]
        if self._look is None and self._clock.monotonic() - self._looked_at >= LOOK_REST_S:
            self._looks_for, self._looked_at = now, self._clock.monotonic()
            self._look = asyncio.create_task(look_at_rules(), name="fast_path_rules")
        return None

    def _is_new(self, links: TunnelLinks) -> bool:
        """Report whether anything changed since the last word that may change what becomes of a packet."""
        last = self._last()
        seen = (links, self._looker.signature(), last.world if last is not None else None)
        changed, self._seen = seen != self._seen, seen
        return changed

    def _opened(self) -> Carrier:
        if self._carrier is None:
            from flanpy.fastpath.carrier import Carrier  # noqa: PLC0415, only where it is wanted

            self._carrier = Carrier()
        return self._carrier

    def _leave(self) -> None:
        """Take the programs away, those of an earlier run of the daemon too."""
        if self._carrier is None and self._said is None and has_filters():
            self._opened()
        if self._carrier is not None:
            with suppress(KernelError):
                self._carrier.detach()
            self._carrier.close()
            self._carrier = None

    def _tell(self, state: FastPathState) -> None:
        if state != self._said:
            if self._said is None or (self._said.on, self._said.reason) != (state.on, state.reason):
                log.info("fast_path_changed", value="on" if state.on else "off", reason=state.why)
            self._said = state
            self._note(state)

    def _close(self) -> None:
        """Withhold the word: programs that no daemon looks after carry nothing."""
        if self._look is not None:
            self._look.cancel()
        self._looker.close()
        if self._carrier is not None:
            with suppress(KernelError):
                self._carrier.withhold()
            self._carrier.close()


def tunnel_of(last: Pass) -> FastTunnel | None:
    """Return the tunnel of the flat overlay's IPv4 packets; None where no VXLAN device of ours carries them."""
    network, own = last.world.network, last.world.own
    if last.decision.desired is None or network is None or own is None:
        return None
    subnet = own.key.subnet
    if not isinstance(network.network, IPv4Network) or subnet is None:
        return None
    for obj in last.decision.desired.values():
        if (
            isinstance(obj, VxlanLink)
            and obj.name == f"flannel.{obj.vni}"
            and isinstance(obj.local, IPv4Address)
        ):
            return FastTunnel(obj.parent, obj.name, obj.local, obj.port, obj.vni, network.network, subnet)
    return None


async def look_at_rules() -> str:
    """Return the rule that looks at each packet, or why the rules cannot be read; "" if all is well."""
    environment = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command_of("flanpy.fastpath.rules_look"), env=environment, cwd=DIRECTORY,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"the rules cannot be read: {error.strerror}"
    try:
        async with asyncio.timeout(_LOOK_DEADLINE_S):
            said, wrong = await process.communicate()
        return str(json.loads(said)["unfit"])
    except MALFORMED:
        return f"the rules cannot be read: {wrong.decode(errors='replace').strip()[-200:]}"
    except TimeoutError:
        return f"the rules could not be read within {_LOOK_DEADLINE_S:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def has_filters() -> bool:
    """Report whether a link has a place for filters, ours of an earlier run perhaps. Raises KernelError."""
    control = TrafficControl()
    try:
        return bool(control.qdiscs())
    finally:
        control.close()


def _no(reason: FastReason, why: str) -> FastPathState:
    return FastPathState(False, reason, why)


def _yes(tunnel: FastTunnel, links: TunnelLinks) -> FastPathState:
    why = f"flows of {len(links.veths)} containers are carried between them and {tunnel.underlay}"
    return FastPathState(True, FastReason.CARRIES, why)
