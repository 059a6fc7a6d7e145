"""Messages that no kernel that we know sends: an error of ours, and the socket goes on."""

from __future__ import annotations

import asyncio

import pytest

from flanpy.errors import KernelError
from flanpy.kernel import host, links
from flanpy.kernel.notice import Echoes, Notice, NoticeBoard, StaleFacts
from flanpy.kernel.port import Moved
from flanpy.kernel.request import RequestSocket, open_netlink
from flanpy.netlink import framing, numbers, rtnl
from tests.kernel.test_request import asked, body, done, message, pair


def number_of_eight(buffer: bytes, start: int, end: int) -> int:
    return int(framing.U32.unpack(buffer[start : start + 8])[0])


@pytest.mark.asyncio
async def test_answer_that_cannot_be_parsed_is_a_kernel_error_and_the_real_kernel_answers_the_next_dump() -> (
    None
):
    requests = RequestSocket(open_netlink())
    try:
        for _ in range(3):
            with pytest.raises(KernelError, match="cannot be read"):
                await requests.dump(links.link_dump(), number_of_eight)
            found = await host.read_links(requests, learn=lambda *_: None)
            assert "lo" in [link.name for link in found]
    finally:
        requests.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "length",
    [0, 15, 17, 1 << 31],
    ids=["no length", "shorter than a header", "one octet missing", "longer than anything"],
)
async def test_answer_of_a_wrong_length_ends_the_dump_at_once_and_not_the_socket(length: int) -> None:
    with pair() as (requests, kernel):
        dump = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        sequence = await asked(kernel)
        kernel.send(framing.HEADER.pack(length, rtnl.NEWROUTE, 0, sequence, 0))
        with pytest.raises(KernelError, match="cut off"):
            await asyncio.wait_for(dump, 10)
        again = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        sequence = await asked(kernel)
        kernel.send(message(rtnl.NEWROUTE, 0, sequence, b"good") + done(sequence))
        assert await asyncio.wait_for(again, 10) == [b"good"]


def test_refusal_without_a_number_is_a_refusal() -> None:
    short = message(numbers.MSG_ERROR, 0, 1)
    assert framing.refusal(short, 0, len(short), 0) is not None


@pytest.mark.parametrize("kind", [rtnl.NEWLINK, rtnl.NEWADDR, rtnl.NEWNEIGH, rtnl.NEWROUTE])
def test_notice_that_cannot_be_read_has_everything_read_again(kind: int) -> None:
    short = message(kind, 0, 0, b"\2")
    board = NoticeBoard(own_port=5, links=frozenset({"flannel.1"}))
    assert board.judge(short, 0, len(short), echoes=Echoes()) == Notice(StaleFacts.EVERYTHING, Moved.OVERRUN)
