"""A daemon that works on a long document is waited for; one that answers nothing is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flanpy.cli.base.control import Control
from flanpy.doctor.gather import Sources, gather
from flanpy.doctor.registry import diagnose
from flanpy.errors import ControlUnreachable
from tests.cli.stand_in import STATUS, StandIn, standing_in

PATIENCE_S = 0.3


class Slow(StandIn):
    """Long documents take five times a client's patience; `deaf` answers nothing at all."""

    def __init__(self, *, deaf: bool = False) -> None:
        super().__init__()
        self.deaf = deaf

    async def answer(self, request: web.Request) -> web.Response:
        if self.deaf:
            await asyncio.sleep(3600)
        if request.match_info["resource"] != "status":
            await asyncio.sleep(5 * PATIENCE_S)
        return await super().answer(request)


def _subnets(number: int) -> dict[str, Any]:
    return {
        "revision": 1,
        "stale": False,
        "subnets": [{"key": f"k{at}"} for at in range(number)],
        "invalid": [],
    }


def test_long_document_is_waited_for_while_the_daemon_answers(tmp_path: Path) -> None:
    with standing_in(tmp_path, Slow()) as stand_in:
        stand_in.answers.update(status=STATUS, subnets=_subnets(25_000))
        assert len(Control(tmp_path, deadline=PATIENCE_S).get("subnets")["subnets"]) == 25_000
        assert stand_in.asked.count("GET subnets") == 1


def test_daemon_that_answers_nothing_is_given_up_after_the_deadline(tmp_path: Path) -> None:
    with standing_in(tmp_path, Slow(deaf=True)):
        for resource in ("status", "subnets"):
            with pytest.raises(ControlUnreachable, match=rf"gave no answer to '{resource}' in 0\.3 s"):
                Control(tmp_path, deadline=PATIENCE_S).get(resource)


def test_doctor_calls_no_daemon_silent_that_gives_its_status(tmp_path: Path) -> None:
    with standing_in(tmp_path, Slow()) as stand_in:
        stand_in.answers["status"] = STATUS

        def ask(resource: str) -> Any:
            if resource != "status":
                raise ControlUnreachable(f"no answer to {resource}")
            return Control(tmp_path, deadline=PATIENCE_S).get(resource)

        facts = gather(
            Sources(ask=ask, settings={"run-dir": str(tmp_path), "subnet-file": str(tmp_path / "none")})
        )
    assert facts.daemon_problem == ""
    assert facts.unread["daemon: subnets"] == "no answer to subnets"
    assert "the daemon of this host does not answer" not in [finding.title for finding in diagnose(facts)]
