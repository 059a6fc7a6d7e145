"""P03: rules that vanish while somebody else happens to look are heard of all the same."""

from __future__ import annotations

import pytest

from flanpy.cli.control import Control
from integration.lab import Lab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

BEFORE_THE_TIMER_S = 10.0
"""What nobody hears of is found after a minute."""


def test_p03_rules_come_back_at_once_though_a_command_saw_first_that_they_were_gone(lab: Lab) -> None:
    host = lab.hosts[0]
    control = Control(host.daemon.run_dir, deadline=60.0)

    def standing() -> bool:
        return "FLANPY" in host.run("nft", "list", "ruleset").stdout

    eventually(standing, "the rules stand")
    for _ in range(5):
        host.run("nft", "flush", "ruleset")
        control.get("diff")  # reads the packet filter before the daemon has looked at the news
        eventually(standing, lambda: host.daemon.log_tail(5), deadline=BEFORE_THE_TIMER_S)
