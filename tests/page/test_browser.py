"""The page in a real Chromium: what people see, and that nothing of etcd's becomes markup."""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanpy.page.gate import PageGate
from tests.page import pictures, samples
from tests.page.browser import Browser
from tests.page.server import PageServer

pytestmark = [pytest.mark.lab]

TOKEN = "correct-horse-battery"
SHOWN = "document.querySelectorAll('#leases tbody tr').length"


_CONTRASTS = """(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((x) => x / 255)
    .map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, at) => sum + x * [0.2126, 0.7152, 0.0722][at], 0);
  const back = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const rgb = numbers(getComputedStyle(at).backgroundColor);
      if (rgb.length === 3 || rgb[3] === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const shown = "header *, .verdict *, #todo *, #lately *, #foot *, #heat td, #heat th, dialog *";
  for (const node of document.querySelectorAll(shown)) {
    if (!node.checkVisibility() || ![...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim())) continue;
    if (node.closest(".stale") && !node.closest("header, .verdict")) continue;
    const [one, other] = [light(numbers(getComputedStyle(node).color)), light(back(node))].sort((x, y) => y - x);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) poor.push(`${node.textContent.slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""
"""Texts whose contrast with what is behind them is below that of WCAG AA."""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """A window that has seen no trouble, and sees none in the test."""
    window.open("about:blank")
    window.problems.clear()
    window.window(1280, 900)
    yield window
    assert window.problems == []


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(samples.healthy()) as server:
        yield server


def _opened(browser: Browser, server: PageServer, rows: int = 3) -> None:
    browser.open(server.url)
    browser.until(SHOWN, lambda found: found == rows)


def test_healthy_cluster_is_shown_as_healthy(browser: Browser, server: PageServer) -> None:
    _opened(browser, server)
    assert browser.text("#phase") == "READY"
    assert browser.text("#cluster").endswith("✓ 3 hosts, 6 of 6 directions work")
    assert browser.text("#host").endswith("✓ h1 works")
    assert browser.ask("document.querySelector('#todo').hidden")
    assert browser.text("#link-state") == "live"
    assert browser.ask("document.querySelectorAll('#map .link.reachable').length") == 3
    assert "none of 6 measured directions is in trouble" in browser.text("#troubled")
    assert browser.ask("document.querySelectorAll('.heat td.reachable').length") == 6
    assert "this host" in browser.ask("document.querySelector('#map .self').textContent")


def test_cut_link_is_named_live_in_every_view(browser: Browser, server: PageServer) -> None:
    _opened(browser, server)
    server.show(samples.cut(samples.healthy(), "h1", "h3"))
    browser.until("document.querySelector('#phase').textContent", lambda text: text == "DEGRADED")
    assert "h1 ↔ h3: unreachable, PortBlocked" in browser.text("#troubled")
    assert browser.ask(
        "[...document.querySelectorAll('#map .link.unreachable title')].map(x => x.textContent)"
    ) == ["h1 ↔ h3: unreachable, PortBlocked"]
    cells = "[...document.querySelectorAll('.heat td.unreachable')].map(x => [x.dataset.from, x.dataset.to].join())"
    assert sorted(browser.ask(cells)) == ["h1,h3", "h3,h1"]
    assert "PeersReachable" in browser.text("#wrong h3")
    for part in ("h1 → h3: PortBlocked", "Fix: open UDP port 8472 in both directions", "for "):
        assert part in browser.text("#wrong")
    assert "h1 → h3 (10.99.1.3): PortBlocked" in browser.ask("document.querySelector('#wrong').textContent")
    assert browser.text("#wrong .command code") == "flanpyctl trace h3"
    assert browser.text("#wrong a") == "P06: the overlay's port is blocked between two hosts"
    assert browser.ask("document.querySelector('#wrong a').href").endswith("/reference/P06.html")
    assert "✕ 1 of 3 links broken: h1 ↔ h3: PortBlocked" in browser.text("#cluster")
    assert "✕ h1 works, but 1 of 2 peers unreachable" in browser.text("#host")
    row = "[...document.querySelectorAll('#leases tbody tr')].find(x => x.cells[0].innerText === 'h3').innerText"
    assert "PortBlocked" in browser.ask(row)
    assert "h3 stopped answering; it does not answer yet" in browser.text("#events tbody")
    assert "h3 stopped answering; it does not answer yet" in browser.text("#lately")
    server.show(samples.healthy())
    browser.until("document.querySelector('#phase').textContent", lambda text: text == "READY")


def test_consequences_are_folded_under_their_cause(browser: Browser, server: PageServer) -> None:
    document = samples.healthy()
    for condition in document["status"]["conditions"]:
        if condition["type"] in {"UnderlayReady", "BackendReady", "PeersProgrammed"}:
            condition.update(healthy=False, reason="LinkDown", message=f"{condition['type']} is bad")
    server.show(samples.judged(document))
    _opened(browser, server)
    browser.until("document.querySelectorAll('#wrong .card').length", lambda found: found == 1)
    assert browser.text("#wrong h3").startswith("UnderlayReady LinkDown")
    assert "more follow from it" in browser.text("#wrong")
    assert "BackendReady is bad" not in browser.text("#wrong")
    browser.ask("[...document.querySelectorAll('#wrong summary')].at(-1).click()")
    assert "BackendReady is bad" in browser.text("#wrong")


def test_well_is_never_said_of_what_was_not_measured(browser: Browser, server: PageServer) -> None:
    document = samples.healthy()
    names = document["mesh"]["nodes"]
    document["mesh"] = samples.mesh(names, [(a, b, "unknown", "") for a in names for b in names])
    server.show(samples.judged(document))
    _opened(browser, server)
    assert browser.text("#cluster p").startswith("? 3 hosts, 0 of 6 directions work")
    assert browser.ask("document.querySelector('#cluster').className") == "verdict unknown"
    assert browser.ask("document.title").startswith("● ")


def test_drawer_shows_both_directions_their_day_the_containers_and_where_to_look_next(
    browser: Browser, server: PageServer
) -> None:
    server.show(samples.with_day(samples.cut(samples.healthy(), "h1", "h3")))
    _opened(browser, server)
    browser.ask("document.querySelector('.heat').focus()")
    browser.press("ArrowRight")
    browser.press("Enter")
    browser.until("document.querySelectorAll('#drawer figure').length", lambda found: found == 2)
    said = browser.text("#drawer")
    for part in (
        "✕ h1 → h3: unreachable, PortBlocked, 100 % lost", "✕ h3 → h1", "h1 → h3: 3.2 % lost",
        "2 containers: shop-web, shop-cache", "1 container: shop-db", "flanpyctl trace h3",
    ):  # fmt: skip
        assert part in said, part
    assert browser.ask("document.querySelector('#drawer a').href") == "https://10.99.1.3:8474/"
    browser.press("Escape")
    browser.until("document.querySelector('#drawer').open", lambda is_open: not is_open)


def test_drawer_shows_the_sessions_of_wireguard(browser: Browser, server: PageServer) -> None:
    document = samples.encrypted(samples.with_day(samples.healthy()))
    names = [peer["node_id"] for peer in document["peers"]]
    server.show(document)
    _opened(browser, server)
    for name, parts in zip(
        names,
        (
            ["a session lives", ":51820, last handshake"],
            ["no session, for want of traffic", "at 198.51.100.7:4000, its lease says 10.99.1."],
        ),
        strict=True,
    ):
        browser.ask(f"import('./drawer.js').then((one) => one.openDrawer('h1', '{name}'))")
        browser.until("document.querySelectorAll('#drawer .session').length", lambda found: found == 1)
        said = browser.text("#drawer .session")
        for part in [f"key key+{name}", *parts]:
            assert part in said, (part, said)
        browser.press("Escape")
        browser.until("document.querySelector('#drawer').open", lambda is_open: not is_open)


def test_strips_of_the_day_tell_the_worst_of_each_step(browser: Browser, server: PageServer) -> None:
    server.show(samples.with_day(samples.cut(samples.healthy(), "h1", "h3")))
    _opened(browser, server)
    strips = "[...document.querySelectorAll('#day .strip')].map(x => x.innerText.trim())"
    assert sorted(browser.ask(strips)) == ["all hosts", "h1", "h2", "h3"]
    told = browser.ask("document.querySelector('#day svg').getAttribute('aria-label')")
    assert told == "all hosts: unreachable in 30 min, lossy in 60 min, well in 1125 min"


def test_one_way_fault_is_told_with_its_direction(browser: Browser, server: PageServer) -> None:
    document = samples.healthy()
    document["mesh"] = samples.mesh(["h1", "h2", "h3"], [("h3", "h2", "unreachable", "OneWayOut")])
    server.show(document)
    _opened(browser, server)
    assert "h3 → h2: unreachable, OneWayOut" in browser.text("#troubled")


def test_what_nobody_measured_is_hatched(browser: Browser, server: PageServer) -> None:
    document = samples.healthy()
    unknown = [("h2", "h3", "unknown", ""), ("h3", "h2", "unknown", "")]
    document["mesh"] = samples.mesh(["h1", "h2", "h3"], unknown)
    server.show(document)
    _opened(browser, server)
    assert browser.ask("document.querySelectorAll('.heat td.unknown').length") == 2
    style = "getComputedStyle(document.querySelector('.heat td.unknown')).backgroundImage"
    assert "repeating-linear-gradient" in browser.ask(style)


def test_foot_names_the_store_with_its_version(browser: Browser, server: PageServer) -> None:
    document = samples.healthy()
    store = document["status"]["store"]
    store.update(endpoint="https://192.0.2.9:2379", version="3.5.30", revision=7, stale=False, listed=False)
    server.show(document)
    _opened(browser, server)
    assert "192.0.2.9:2379, 3.5.30, revision 7" in browser.text("#foot")


def test_markup_in_etcd_is_shown_as_text(browser: Browser, server: PageServer) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    document = samples.cut(samples.healthy(), "h1", "h3", trouble=evil)
    text = copy.deepcopy(document)
    for row in (*text["peers"], *text["subnets"]["subnets"]):
        row["node_id"] = evil if row["node_id"] == "h2" else row["node_id"]
        row["reason"] = evil
    text["subnets"]["invalid"] = [{"key": evil, "reason": evil}]
    text["status"]["node_id"] = text["status"]["version"] = evil
    text["events"].append({**text["events"][-1], "kind": evil, "what": evil, "why": evil, "text": evil})
    for condition in text["status"]["conditions"]:
        condition.update(message=evil, cure=evil, evidence=[evil])
    text["mesh"] = samples.mesh([evil, "h1", "h3"], [(evil, "h3", "lossy", evil)])
    server.show(text)
    _opened(browser, server)
    browser.until("document.querySelector('#events tbody').innerText", lambda shown: "onerror" in shown)
    assert browser.ask("document.querySelectorAll('img, body script').length") == 0
    assert "owned" not in browser.ask("document.title").removeprefix(f"● {evil}")
    assert evil in browser.text("#node")
    assert evil in browser.ask("document.querySelector('#leases tbody').textContent")


def test_named_networks_are_a_table_where_there_are_any(browser: Browser, server: PageServer) -> None:
    _opened(browser, server)
    rows = "[...document.querySelectorAll('#named tbody tr')].map(x => [...x.cells].map(y => y.textContent).join('|'))"
    assert browser.ask(rows) == [
        "shop|10.96.0.0/16 fd00:96::/64|10.96.3.0/24|3|33|11|242|yes",
        "lab|10.97.0.0/16 fd00:97::/64|10.97.3.0/24|3|0|0|253|yes",
    ]
    document = samples.healthy()
    document["status"]["networks"] = [
        samples.network("shop", 10_001, free=9, containers=244, in_docker=False)
    ]
    server.show(document)
    browser.until(rows, lambda found: len(found) == 1)
    marked = (
        "[...document.querySelectorAll('#named td.state')].map(x => x.className.trim() + ' ' + x.textContent)"
    )
    assert browser.ask(marked) == ["number state pending 9", "state failed no"]
    server.show({**document, "status": {**document["status"], "networks": []}})
    browser.until("document.querySelector('#networks').hidden")


def test_leases_are_sorted_and_filtered_by_keyboard(browser: Browser, server: PageServer) -> None:
    server.show(samples.crowd(12))
    _opened(browser, server, 12)
    hosts = "[...document.querySelectorAll('#leases tbody th')].map(x => x.textContent)"
    assert browser.ask(hosts)[:2] == ["h1", "node-002"]
    browser.ask("document.querySelector('#leases thead button').focus()")
    browser.press("Enter")
    assert browser.ask("document.querySelector('#leases thead th').getAttribute('aria-sort')") == "ascending"
    browser.press("Enter")
    assert browser.ask("document.querySelector('#leases thead th').getAttribute('aria-sort')") == "descending"
    assert browser.ask(hosts)[0] == "node-012"
    browser.ask("document.querySelector('#filter').focus()")
    browser.write("10.50.7. programmed")
    browser.until(SHOWN, lambda found: found == 1)
    assert browser.ask(hosts) == ["node-007"]
    assert "1 of 12" in browser.text("#leases-more")


def test_what_is_typed_stays_when_a_document_comes(browser: Browser, server: PageServer) -> None:
    _opened(browser, server)
    browser.ask("document.querySelector('#filter').focus()")
    browser.write("h2")
    browser.until(SHOWN, lambda found: found == 1)
    server.show(samples.cut(samples.healthy(), "h1", "h2"))
    browser.until("document.querySelector('#phase').textContent", lambda text: text == "DEGRADED")
    assert browser.ask("[document.activeElement.id, document.activeElement.value]") == ["filter", "h2"]
    assert browser.ask(SHOWN) == 1


def test_heat_map_is_read_with_the_arrow_keys(browser: Browser, server: PageServer) -> None:
    server.show(samples.cut(samples.healthy(), "h1", "h3"))
    _opened(browser, server)
    browser.ask("document.querySelector('.heat').focus()")
    browser.press("ArrowRight")
    assert browser.text("#heat-cell").startswith("h1 → h3: unreachable, PortBlocked"), "troubled hosts first"
    browser.press("ArrowRight")
    assert browser.text("#heat-cell").startswith("h1 → h2: reachable")


def test_many_hosts_are_a_count_and_their_troubled_links(browser: Browser, server: PageServer) -> None:
    server.show(samples.crowd(60))
    _opened(browser, server, 60)
    assert "60 hosts" in browser.text("#troubled")
    assert browser.ask("document.querySelectorAll('#map .link').length") == 0
    server.show(samples.cut(samples.crowd(60), "h1", "node-017"))
    browser.until("document.querySelectorAll('#map .link').length", lambda found: found == 1)
    assert "h1 ↔ node-017" in browser.text("#troubled")


def test_host_that_nobody_reaches_is_one_line(browser: Browser, server: PageServer) -> None:
    document = samples.crowd(60)
    names = document["mesh"]["nodes"]
    down = [(name, "node-017", "unreachable", "PeerDown") for name in names if name != "node-017"]
    document["mesh"] = samples.mesh(names, down)
    server.show(document)
    _opened(browser, server, 60)
    assert "node-017 ↔ 59 hosts: PeerDown" in browser.text("#troubled")
    assert browser.ask("document.querySelectorAll('#troubled li').length") == 1


@pytest.mark.parametrize("hosts", [3, 24, 60])
def test_phone_needs_no_scrolling_sideways(browser: Browser, server: PageServer, hosts: int) -> None:
    browser.window(360, 740)
    document = samples.healthy() if hosts == 3 else samples.crowd(hosts)
    server.show(samples.cut(document, "h1", document["peers"][0]["node_id"]))
    _opened(browser, server, hosts)
    assert browser.ask("document.documentElement.scrollWidth") <= 360
    assert browser.ask("document.querySelector('#map svg').getBoundingClientRect().right") <= 360


def test_light_and_dark_follow_the_system(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    colours = []
    for dark in (False, True):
        browser.window(1280, 900, dark=dark)
        _opened(browser, server)
        colours.append(browser.ask("getComputedStyle(document.body).backgroundColor"))
        browser.picture(tmp_path / "page.png")
        width = struct.unpack(">I", (tmp_path / "page.png").read_bytes()[16:20])[0]
        assert width == 1280
    assert colours == ["rgb(246, 247, 249)", "rgb(17, 21, 27)"]


def test_page_tells_since_when_the_daemon_is_away_and_goes_on_when_it_is_back(
    window: Browser, server: PageServer
) -> None:
    window.window(1280, 900)
    _opened(window, server)
    server.stop()
    window.until("document.querySelector('#link-state').textContent", lambda text: "No answer since" in text)
    assert window.ask(SHOWN) == 3
    assert window.text("#phase") == "UNKNOWN"
    for verdict in ("#cluster", "#host"):
        assert "? UNKNOWN since " in window.text(verdict)
        assert window.ask(f"document.querySelector('{verdict}').className") == "verdict unknown"
    assert window.ask("document.title").startswith("? ")
    server.show(samples.cut(samples.healthy(), "h1", "h3"))
    server.start()
    window.until("document.querySelector('#link-state').textContent", lambda text: text == "live")
    window.until("document.querySelector('#phase').textContent", lambda text: text == "DEGRADED")
    assert all("ERR_CONNECTION_REFUSED" in line or "ERR_INCOMPLETE" in line for line in window.problems)


@pytest.mark.parametrize("shot", pictures.shots(), ids=lambda shot: shot.name)
def test_every_sight_of_the_page_fits_its_window_and_is_legible(
    window: Browser, shot: pictures.Shot, tmp_path: Path
) -> None:
    def look() -> None:
        assert window.ask("document.documentElement.scrollWidth") <= shot.width
        assert window.ask(_CONTRASTS) == []
        bottom = window.ask("document.querySelector('#verdicts').getBoundingClientRect().bottom")
        assert bottom <= 0.5 * shot.height, "the verdicts are on the first screen"

    pictures.take(window, shot, tmp_path / "page.png", look)
    width = struct.unpack(">I", (tmp_path / "page.png").read_bytes()[16:20])[0]
    assert width == shot.width


def test_token_of_the_address_opens_the_page_and_leaves_the_address(window: Browser) -> None:
    with PageServer(samples.healthy(), PageGate(loopback=False, token=TOKEN)) as server:
        window.open(f"{server.url}?token={TOKEN}")
        window.until(SHOWN, lambda found: found == 3)
        assert window.ask("location.href") == server.url
        assert window.ask("document.cookie") == ""


def test_token_is_asked_for_and_taken_from_the_keyboard(window: Browser) -> None:
    with PageServer(samples.healthy(), PageGate(loopback=False, token=TOKEN)) as server:
        window.call("Network.clearBrowserCookies")
        window.open(server.url)
        window.until("document.activeElement?.name === 'token'")
        window.write(TOKEN)
        window.press("Enter")
        window.until(SHOWN, lambda found: found == 3)
