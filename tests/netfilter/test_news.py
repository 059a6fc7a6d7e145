"""P03: what others did to our rules is news to the loop, whoever happened to look first."""

from __future__ import annotations

import asyncio

from flanpy.model.address import Family
from flanpy.model.ops import Scope
from flanpy.model.packet_filter import FilterChain, FilterFacts, Flavour
from flanpy.netfilter.look import Look
from flanpy.netfilter.part import FilterPart

OURS = Look(objects=(FilterChain(Flavour.NFT, Family.IPV4, "flanpy", "FLANPY-FORWARD"),))
FLUSHED = Look()


class Seen:
    """The present state, as a look finds it."""

    has_legacy = False

    def __init__(self, now: Look) -> None:
        self.now = now

    def unchanged(self) -> None:
        return None

    def look(self) -> Look:
        return self.now


class Told:
    def __init__(self) -> None:
        self.moved = 0

    def filter_changed(self, facts: FilterFacts) -> None:
        raise AssertionError(f"nothing to plan by has changed: {facts}")

    def filter_moved(self) -> None:
        self.moved += 1


def test_p03_flush_is_told_of_though_a_command_saw_it_first() -> None:
    part, told, seen = FilterPart(), Told(), Seen(OURS)
    part._looker = seen  # type: ignore[assignment]
    part.tell(told)

    async def flushed_while_a_command_looks() -> None:
        await part.start()
        await part._compare()
        assert told.moved == 0
        seen.now = FLUSHED
        await part.read_back(Scope())  # a preview: the loop learns nothing of it
        await part._compare()
        await part._compare()

    asyncio.run(flushed_while_a_command_looks())
    assert told.moved == 1
