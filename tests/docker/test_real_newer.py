"""The newer versions of Docker: the same commands, with `--validate` and gateway modes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from flanpy.cli.base.exits import Exit
from integration.hosts.engines import FETCHED, DockerLab
from tests.docker.conftest import Wired
from tests.docker_logs import standing

pytestmark = [pytest.mark.netns, pytest.mark.lab, pytest.mark.more_engines]


@pytest.fixture(scope="module", params=FETCHED)
def newer(request: pytest.FixtureRequest) -> Iterator[Wired]:
    with DockerLab(1, engine=request.param) as lab, standing(lab):
        yield Wired(lab)


def test_bip_mode_on_a_newer_docker(newer: Wired) -> None:
    newer.reset()
    assert newer.ctl("apply", "--restart", "if-idle").returncode == Exit.OK
    assert newer.engine.bridge_network() == ("10.50.7.0/24", 1450)
    assert newer.ctl("status").returncode == Exit.OK
    assert newer.ctl("rollback", "--restart", "if-idle").returncode == Exit.OK
    assert newer.engine.bridge_network() == ("172.17.0.0/16", 1500)


@pytest.mark.parametrize("text", ['{"hosts": 5}', '{"no-such-key": true}'])
def test_newer_docker_itself_refuses_a_bad_file(newer: Wired, text: str) -> None:
    newer.reset()
    newer.engine.daemon_json_path.write_text(text)
    done = newer.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.FAILURE
    assert next(iter(json.loads(text))) in done.stderr
    assert newer.file == text


def test_p01_network_mode_on_a_newer_docker_opens_the_network_where_it_must(newer: Wired) -> None:
    newer.reset()
    for step in ("create", "keep"):
        done = newer.ctl("apply", "--mode", "network", "-o", "json")
        assert (done.returncode, json.loads(done.stdout)["step"]) == (Exit.OK, step)
    options = newer.engine.inspect("network", "flanpy")["Options"]
    closes = newer.engine.release.version >= "28"
    wanted = "nat-unprotected" if closes else None
    assert options.get("com.docker.network.bridge.gateway_mode_ipv4") == wanted
    assert newer.ctl("status").returncode == Exit.OK
    assert newer.ctl("rollback", "--mode", "network").returncode == Exit.OK
