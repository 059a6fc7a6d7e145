"""Logs which underlay was chosen, or that there is none."""

from __future__ import annotations

from flanpy.log import get_logger
from flanpy.model.facts import HostFacts

log = get_logger()


def log_underlay(facts: HostFacts) -> None:
    """Log the underlay of these facts, which differ from those before."""
    underlay = facts.underlay
    if underlay is None:
        log.warning("underlay_lost", reason=facts.problem)
        return
    address = underlay.address or underlay.address6
    log.info("underlay_chosen", link=underlay.link, address=address, mtu=underlay.mtu, reason=underlay.reason)
