"""Probes, metrics and the control socket of a running daemon, asked by friends and by strangers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from integration.hosts.daemon import METRICS_PORT
from integration.lab import Host, Lab
from integration.net.namespaces import connect
from tests.lab.conftest import BuildLab
from tests.lab.daemon_side import get, http
from tests.lab.overlay import eventually, metric, repairs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

STALL_S = 1.0


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts[0]


def _control(host: Host) -> Any:
    return host.daemon.run_dir / "flanpyd.sock"


def _ready(host: Host) -> int:
    return host.daemon.fetch("/readyz")[0]


# Probes


def test_readyz_is_503_before_the_overlay_stands_and_healthz_is_200_all_along(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    daemon = lab.hosts[0].daemon
    daemon.launch()
    eventually(lambda: daemon.answers("/healthz"), daemon.log_tail)
    assert daemon.fetch("/readyz")[0] == 503
    eventually(lambda: "phase LISTING" in daemon.fetch("/readyz")[1], lambda: daemon.fetch("/readyz"))
    assert "[-]LeaseValid NotHeld" in daemon.fetch("/readyz")[1]
    lab.configure()
    eventually(lambda: daemon.fetch("/readyz")[0] == 200, daemon.log_tail)
    eventually(lambda: daemon.fetch("/readyz")[1] == "phase READY\n", lambda: daemon.fetch("/readyz"))


def test_readyz_goes_back_to_503_while_a_foreign_link_has_the_name_and_returns(host: Host) -> None:
    index = host.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"]
    host.daemon.freeze()  # else it is faster than the thief
    host.ip("link del flannel.1", "link add flannel.1 type bridge")
    host.daemon.thaw()
    try:
        eventually(lambda: _ready(host) == 503, "it stays ready")
        taken = "[-]BackendReady LinkTaken: flannel.1 is another's link of kind bridge"
        eventually(lambda: taken in host.daemon.fetch("/readyz")[1], lambda: host.daemon.fetch("/readyz"))
        assert "phase DEGRADED" in host.daemon.fetch("/readyz")[1]
        assert host.daemon.answers("/healthz")
    except BaseException:
        host.ip("link del flannel.1")
        raise
    host.ip("link del flannel.1")
    eventually(lambda: _ready(host) == 200, lambda: host.daemon.fetch("/readyz"))
    assert host.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"] != index


def test_readyz_goes_back_to_503_when_the_lease_ran_out_and_returns(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    host = lab.hosts[0]
    host.daemon.up(env={"FLANPYD_SUBNET_LEASE_TTL": "3", "FLANPYD_SUBNET_LEASE_RENEW_MARGIN": "1s"})
    subnet = host.subnet_file
    for member in lab.etcd.members:
        member.freeze()
    try:
        eventually(lambda: _ready(host) == 503, lambda: host.daemon.fetch("/readyz?verbose"), deadline=15)
        assert "[-]LeaseValid Expired" in host.daemon.fetch("/readyz")[1]
        assert host.has_link("flannel.1")
    finally:
        for member in lab.etcd.members:
            member.thaw()
    eventually(lambda: _ready(host) == 200, lambda: host.daemon.fetch("/readyz?verbose"), deadline=20)
    assert host.subnet_file == subnet


def test_readyz_verbose_lists_every_condition(host: Host) -> None:
    status, body = host.daemon.fetch("/readyz?verbose")
    assert status == 200
    named = [line[3:].split()[0] for line in body.splitlines()[1:] if line.startswith("[+]")]
    assert named == [one["type"] for one in get(_control(host), "/v1/status")[1]["conditions"]]


def test_probe_of_an_unknown_path_is_404_and_of_another_method_405(host: Host) -> None:
    assert host.daemon.fetch("/nothing")[0] == 404
    assert _metrics_request(host, b"POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 405


# Metrics


def _metrics_request(host: Host, request: bytes) -> tuple[int, str, str]:
    with connect(host.namespace, ("127.0.0.1", METRICS_PORT), timeout=30) as sock:
        sock.sendall(request)
        answer = b""
        while more := sock.recv(65536):
            answer += more
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def _metrics_page(host: Host, accept: str) -> tuple[str, str]:
    request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    status, head, body = _metrics_request(host, request.encode())
    assert status == 200
    return head, body


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def test_metrics_parse_in_both_formats_with_the_same_samples(host: Host) -> None:
    head, plain = _metrics_page(host, "text/plain")
    assert "text/plain; version=" in head
    families = {family.name: family for family in text_string_to_metric_families(plain)}
    head, page = _metrics_page(host, OPENMETRICS)
    assert "application/openmetrics-text" in head
    opened = {family.name: family for family in openmetrics.text_string_to_metric_families(page)}  # type: ignore[no-untyped-call]
    ours = {name for name in families if name.startswith("flanpy_")}
    assert {name.removesuffix("_info") for name in ours} == {
        name.removesuffix("_info") for name in opened if name.startswith("flanpy_")
    }
    for name in ours & opened.keys():
        assert {(s.name, *s.labels.items()) for s in families[name].samples} == {
            (s.name, *s.labels.items()) for s in opened[name].samples
        }


def test_metrics_have_help_and_base_units_and_are_few(host: Host) -> None:
    page = _metrics_page(host, OPENMETRICS)[1]
    for family in openmetrics.text_string_to_metric_families(page):  # type: ignore[no-untyped-call]
        if not family.name.startswith("flanpy_"):
            continue
        assert family.documentation.endswith("."), family.name
        assert family.type != "unknown", family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_minutes", "_kb")), family.name
        assert not (family.type == "gauge" and family.name.endswith("_total")), family.name
        assert len(family.samples) <= 128, family.name


def test_counters_grow_by_what_happened(host: Host) -> None:
    route = next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
    before = metric(host, "flanpy_kernel_operations_total", object="route", verb="add")
    repaired = repairs(host, "route")
    for _ in range(3):
        host.ip(f"route del {route}")
        eventually(lambda: route in host.routes(), "the route stays away")
    eventually(lambda: repairs(host, "route") == repaired + 3, host.daemon.metrics)
    assert metric(host, "flanpy_kernel_operations_total", object="route", verb="add") == before + 3
    assert metric(host, "flanpy_ready") == 1
    assert metric(host, "flanpy_phase", phase="READY") == 1
    assert metric(host, "flanpy_leases") == 3
    assert metric(host, "flanpy_peers", state="programmed") == 2
    assert metric(host, "flanpy_lease_expiry_timestamp_seconds") > time.time()


# The control socket


@contextmanager
def _still_alive(host: Host) -> Iterator[None]:
    """The loop turns and the log tells of no trouble, whatever was asked."""
    before = len(host.daemon.log_lines())
    yield
    assert get(_control(host), "/v1/status")[0] == 200
    told = host.daemon.log_lines()[before:]
    assert [line for line in told if line.get("level") not in {"info", "debug"}] == []


REQUESTS = {
    "garbage": b"\x00\xff\xfe" * 1000 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "huge path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "huge header": b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /v1/status HTTP/1.1\r\n"
    + b"".join(b"X%d: y\r\n" % n for n in range(5000))
    + b"\r\n",
    "bad method": b"BREW /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "delete": b"DELETE /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "unknown": b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "climbing": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "bad version": b"GET /v1/status HTTP/9.9\r\n\r\n",
    "body too long": b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n"
    b"Connection: close\r\n\r\n",
    "bad length": b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "bad chunk": b"POST /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_control_socket_answers_a_stranger_with_an_error_and_goes_on(host: Host, request_: bytes) -> None:
    with _still_alive(host):
        try:
            answer = http(_control(host), request_, timeout=STALL_S)
        except (BrokenPipeError, ConnectionResetError):  # hung up on before it had said all
            return
        assert answer[:9] in {b"HTTP/1.1 ", b"HTTP/1.0 ", b""}
        if b"999999999999" not in request_ and answer:
            assert answer[9:10] == b"4", answer[:200]
        assert b"root:" not in answer


def test_control_socket_serves_while_a_hundred_half_open_requests_dawdle(host: Host) -> None:
    with _still_alive(host), ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            slow.connect(str(_control(host)))
            slow.sendall(b"GET /v1/status HTTP/1.1\r\nHo")
        assert get(_control(host), "/v1/subnets")[0] == 200
        route = next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
        host.ip(f"route del {route}")
        eventually(lambda: route in host.routes(), "the loop stands still")
        assert _ready(host) == 200


def test_two_clients_at_once_get_whole_answers(host: Host) -> None:
    answers: list[tuple[int, Any]] = []

    def ask(resource: str) -> None:
        answers.extend(get(_control(host), resource) for _ in range(25))

    threads = [threading.Thread(target=ask, args=(each,)) for each in ("/v1/status", "/v1/diff")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert len(answers) == 50
    assert {status for status, _ in answers} == {200}
    assert sum("phase" in answer for _, answer in answers) == 25
    assert all(answer["lines"] == [] for _, answer in answers if "lines" in answer)


def test_client_that_hangs_up_before_the_answer_disturbs_nobody(host: Host) -> None:
    with _still_alive(host):
        for _ in range(50):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.connect(str(_control(host)))
                sock.sendall(b"GET /v1/diff HTTP/1.1\r\nHost: x\r\n\r\n")


def test_daemon_ends_at_once_while_clients_hold_on(host: Host) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.connect(str(_control(host)))
            sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert host.daemon.stop(deadline=5) == 0
