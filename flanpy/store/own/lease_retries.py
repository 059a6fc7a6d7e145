"""The keeper's retry delays, and the log lines of an outage: its beginning and its end."""

from __future__ import annotations

from random import Random

from flanpy.clock import Clock
from flanpy.errors import StoreError
from flanpy.log import get_logger
from flanpy.outage import Transition

log = get_logger()

_FIRST_DELAY, _LONGEST_DELAY = 0.25, 30.0


class LeaseRetries:
    """The delay doubles with each failure, and is short again once a turn went well."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._outage = Transition()
        self._delay = _FIRST_DELAY

    @property
    def failing(self) -> bool:
        """Report whether the last turn failed."""
        return self._outage.failing

    def failed(self, error: StoreError) -> float:
        """Note a failed turn; return the seconds until the next."""
        if self._outage.failed(self._clock.monotonic(), reason=type(error).__name__):
            log.warning("lease_store_failed", error=error, action="the lease is kept; tried again")
        return self.longer() * self._rng.uniform(0.8, 1.2)

    def succeeded(self, *, sure: bool) -> None:
        """Note a successful turn; `sure`: it left no doubt that only a listing can resolve."""
        outage = self._outage.succeeded(self._clock.monotonic())
        if outage is not None:
            log.info("lease_store_recovered", outage=outage.seconds, count=outage.count)
        if sure:
            self._delay = _FIRST_DELAY

    def longer(self) -> float:
        """Return the delay in seconds; the next one is twice as long."""
        delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_DELAY)
        return delay
