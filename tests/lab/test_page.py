"""The status page of real daemons, in a real browser on their host: what breaks between hosts is named there."""

from __future__ import annotations

import pytest

from integration.lab import Host, Lab
from integration.net.namespaces import enter_argv
from tests.lab.conftest import BuildLab
from tests.page.browser import Browser

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

URL = "http://127.0.0.1:8474/"
REACHED = "document.querySelectorAll('#map .link.reachable').length"


@pytest.fixture
def three(build_lab: BuildLab) -> Lab:
    lab = build_lab(3)
    lab.configure()
    lab.start_daemons("--probe-interval=500ms")
    return lab


def _cut(host: Host, other: Host) -> None:
    """No overlay packet of the other arrives."""
    host.run("nft", "add table inet cut")
    host.run("nft", "add chain inet cut input { type filter hook input priority -300 ; }")
    host.run("nft", f"add rule inet cut input ip saddr {other.address} udp dport 8472 drop")


def test_page_of_a_real_daemon_names_the_pair_whose_link_is_cut_until_it_is_well_again(three: Lab) -> None:
    one, _, other = three.hosts
    with Browser(prefix=enter_argv(one.namespace)) as browser:
        browser.open(URL)
        browser.until(REACHED, lambda found: found == 3)
        assert browser.text("#node") == one.name
        _cut(one, other)
        _cut(other, one)
        troubled = "document.querySelector('#troubled').innerText"
        browser.until(troubled, lambda text: f"{one.name} ↔ {other.name}: unreachable" in text)
        browser.until("document.querySelector('#wrong').innerText", lambda text: other.name in text)
        bad = "[...document.querySelectorAll('#map .link.unreachable')].length"
        assert browser.ask(bad) == 1
        for host in (one, other):
            host.run("nft", "delete table inet cut")
        browser.until(REACHED, lambda found: found == 3)
        one.daemon.kill()
        state = "document.querySelector('#link-state').textContent"
        browser.until(state, lambda text: "No answer since" in text)
        assert browser.text("#phase") == "UNKNOWN"
        one.daemon.up("--probe-interval=500ms")
        browser.until(state, lambda text: text == "live")
        browser.until("document.querySelectorAll('#leases tbody tr').length", lambda found: found == 3)
