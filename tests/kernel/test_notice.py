"""The author of a notification that bears no sender and comes right after a write of ours."""

from __future__ import annotations

import pytest

from flanpy.kernel import host
from flanpy.kernel.notice import Echoes, NoticeBoard, StaleFacts
from flanpy.kernel.port import Moved
from flanpy.netlink import rtnl
from flanpy.netlink.framing import HEADER, S32, attribute


def test_links_that_come_with_forwarding_on_cost_no_reading() -> None:
    board = NoticeBoard(not_forwarding=frozenset({7}))

    def stale(value: int, link: int) -> StaleFacts:
        said = _netconf(2, value, link)
        return board.judge(said, 0, len(said), echoes=None).stale

    assert [stale(1, 8), stale(0, 7)] == [StaleFacts.NOTHING, StaleFacts.NOTHING]
    assert [stale(0, 8), stale(1, 7)] == [StaleFacts.FORWARDING, StaleFacts.FORWARDING]


def _netconf(number: int, value: int, link: int) -> bytes:
    body = bytes([2, 0, 0, 0]) + attribute(1, S32.pack(link)) + attribute(number, S32.pack(value))
    return HEADER.pack(HEADER.size + len(body), rtnl.NEWNETCONF, 0, 0, 0) + body


@pytest.mark.parametrize(("value", "moved"), [(1, None), (0, Moved.SYSCTL)])
def test_p04_forwarding_that_goes_off_is_never_taken_for_our_own_doing(
    value: int, moved: Moved | None
) -> None:
    said = _netconf(2, value, host.ALL_LINKS)
    notice = NoticeBoard().judge(said, 0, len(said), echoes=Echoes())
    assert notice.moved is moved
