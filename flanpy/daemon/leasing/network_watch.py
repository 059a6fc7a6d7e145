"""Follows the network config in etcd, and decides which one is in force.

A config that cannot be used is named in a condition, and the last good one stays in force; so does the old one while a
changed one does not fit the subnet that containers stand on. In: the watch of the config, the config on disk. Out: the
config in force, and to the status board what is wrong with another.
"""

from __future__ import annotations

from collections.abc import Callable

from flanpy.backend.extension import refuse_unless_allowed
from flanpy.backend.registry import validate_network
from flanpy.errors import ConfigError
from flanpy.log import get_logger
from flanpy.model.address import IPNetwork
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import Policy
from flanpy.plan.allowed import believed, refuse_in_clear, refuse_outside
from flanpy.status.inputs import StatusSink
from flanpy.store.own.allocation import excluded
from flanpy.store.own.own_lease import LeaseSource, OwnLeaseState
from flanpy.store.port import Delta, Snapshot, StoreSession

log = get_logger()


class NetworkWatch:
    """The config at `key`. `own` tells our lease, `policy` what this host allows; `changed` takes what is in force."""

    def __init__(
        self,
        session: StoreSession,
        key: str,
        *,
        board: StatusSink,
        own: Callable[[], OwnLeaseState],
        policy: Callable[[], Policy],
        changed: Callable[[NetworkConfig], None],
    ) -> None:
        self._key = key
        self._board = board
        self._own = own
        self._policy = policy
        self._changed = changed
        self._watch = session.watch(key)
        self._network: NetworkConfig | None = None
        self._first: tuple[IPNetwork, ...] | None = None
        self._heard = False
        self._error = ""

    @property
    def network(self) -> NetworkConfig | None:
        """The config in force."""
        return self._network

    @property
    def first(self) -> tuple[IPNetwork, ...]:
        """The ranges of the first config that this host saw, as far as they could be believed."""
        return self._first or ()

    def relist(self, reason: str) -> None:
        """Ask etcd for the config again."""
        self._watch.relist(reason)

    def recall(self, text: str, first: tuple[IPNetwork, ...] | None) -> None:
        """Before `follow`: the config that was in force when the disk was written, and the first one's ranges.

        What was obeyed before is judged again: by another version or other settings it may not have been.
        """
        self._first = first
        network = self._parsed(text)
        if network is not None:
            self._use(network)

    async def follow(self) -> None:
        """Take etcd's events of the network config, without end."""
        async for news in self._watch:
            match news:
                case Snapshot(items):
                    values = [kv.value for kv in items if kv.key == self._key]
                    self._read(values[0] if values else None)
                case Delta(puts, deletes):
                    for kv in puts:
                        if kv.key == self._key:
                            self._read(kv.value)
                    if any(gone.key == self._key for gone in deletes):
                        self._read(None)
                case _:
                    pass

    def _read(self, value: bytes | None) -> None:
        if value is None:
            self._refuse(f"there is no network config at {self._key}: put one with flanpyctl network init")
            return
        network = self._parsed(value)
        if network is None:
            return
        if self._network is not None and network.text == self._network.text:
            self._heard = True
            self._board.note(pending_network="")  # a change that was held may have been taken back
            return
        unfit, self._heard = self._unfit(network), True
        if unfit:
            self._board.note(pending_network=unfit)
            log.warning("network_change_held", reason=unfit)
            return
        self._board.note(pending_network="")
        self._use(network)

    def _unfit(self, network: NetworkConfig) -> str:
        """Why a changed config cannot be put into effect under running containers, "" if it can."""
        if self._leads_nowhere(network):
            return (
                "the network config was changed to Backend alloc, which leads nowhere; the old one stays in force:"
                " if it is meant, write it with flanpyctl network set --force, or restart flanpyd"
            )
        state = self._own()
        own = state.lease
        if state.source is not LeaseSource.ETCD or own is None:
            return ""
        lacking = (network.network and not own.key.subnet) or (network.network6 and not own.key.subnet6)
        reason = f"{own.key} lacks a family of it" if lacking else excluded(network, own.key)
        return f"the network config was changed, the old one stays in force: {reason}" if reason else ""

    def _leads_nowhere(self, network: NetworkConfig) -> bool:
        """Report whether one put would tear every tunnel down. A config that was there before the start is obeyed."""
        before = self._network
        return (
            self._heard
            and before is not None
            and before.backend_type != "alloc"
            and network.backend_type == "alloc"
            and not network.deliberate
        )

    def _parsed(self, value: bytes | str) -> NetworkConfig | None:
        """A config that can be used; None, and a condition, if it cannot."""
        try:
            network = parse_network_config(value)
            validate_network(network)
            refuse_unless_allowed(network, self._policy())
            self._refuse_outside(network)
            refuse_in_clear(network, self._policy().encryption)
        except ConfigError as error:
            self._refuse(str(error))
            return None
        self._say("")
        return network

    def _refuse_outside(self, network: NetworkConfig) -> None:
        """The first config ever may have any range that a network can sensibly have; its ranges are kept."""
        first = believed(network) if self._first is None else self._first
        refuse_outside(network, self._policy().allowed_networks, first)
        self._first = first

    def _refuse(self, error: str) -> None:
        if error != self._error:
            log.warning("network_refused", error=error)
        self._say(error)

    def _say(self, error: str) -> None:
        if error != self._error:
            self._error = error
            self._board.note(network_error=error)

    def _use(self, network: NetworkConfig) -> None:
        self._network = network
        log.info("network_read", network=network.network or network.network6, backend=network.backend_type)
        for warning in network.warnings:
            log.warning("network_doubtful", message=warning)
        self._board.note(network=network)
        self._changed(network)
