"""Network mode on real engines: a network of Docker's on the leased subnet, beside whatever else Docker runs."""

from __future__ import annotations

import pytest

from tests.engines.conftest import BuildDockerLab
from tests.engines.outside import SILENT, ask, ping_by_name, serving
from tests.engines.overlay_hosts import ENGINES, box, set_up

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

ON_IT = ("--network", "flanpy")


@pytest.mark.parametrize("version", ENGINES)
def test_p01_p08_network_mode_joins_hosts_and_keeps_strangers_and_other_networks_out(
    build_lab: BuildDockerLab, version: str
) -> None:
    lab = build_lab(3, engine=version)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world, apply=("--mode", "network"), run=ON_IT)
        host = overlay.hosts[0]
        aside = box(host, "aside")
        published = box(host, "published", *ON_IT, "-p", "8080:80")

        assert ping_by_name(overlay.one, "published") == f"{published.as_end().address} answers"
        assert ask(world.namespace, host.address, 8080) == f"published {world.address}"
        assert ask(aside.as_end().namespace, overlay.one.as_end().address, 80) == SILENT
        assert ask(overlay.one.as_end().namespace, aside.as_end().address, 80) == SILENT

        host.engine.restart()
        overlay.one.start()
        overlay.assert_works()
