"""Links of named networks as values: ports as people write them, and the part of a definition that holds them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flanpy.errors import ConfigError
from flanpy.model.networks.definition import parse_definition, render_definition
from flanpy.model.networks.links import LinkPort, NetworkLink, Protocol, parse_port, parse_ports
from tests.model.test_named_networks import SHOP

UDP = Protocol.UDP
LINKED = replace(SHOP, links=(NetworkLink("b1"), NetworkLink("c1", (LinkPort(53, UDP), LinkPort(5432)))))


def test_definition_with_links_is_read_as_it_was_written_and_one_without_has_no_word_of_them() -> None:
    assert parse_definition("shop", render_definition(LINKED)) == LINKED
    assert b"Links" not in render_definition(SHOP)


@pytest.mark.parametrize(
    ("text", "port"), [("80", LinkPort(80)), ("80/tcp", LinkPort(80)), ("53/udp", LinkPort(53, UDP))]
)
def test_port_is_written_as_docker_has_it(text: str, port: LinkPort) -> None:
    assert parse_port(text) == port
    assert parse_port(str(port)) == port


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "80/sctp", "80-90", "http", " 80", "-1", "٨٠", "80/tcp/udp"]
)
def test_text_that_is_no_port_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write 5432, 5432/tcp or 53/udp"):
        parse_port(text)


def test_ports_are_each_once_in_order_and_not_beyond_number() -> None:
    assert parse_ports(["80", "53/udp", "80/tcp", "53"]) == (LinkPort(53), LinkPort(53, UDP), LinkPort(80))
    with pytest.raises(ConfigError, match="65 ports are more than the 64"):
        parse_ports(str(number) for number in range(1, 66))


@pytest.mark.parametrize(
    "links",
    [7, [7], [{}], [{"ID": "b"}], [{"ID": "b", "Ports": 7}], [{"ID": "b", "Ports": ["x"]}],
     [{"ID": "b", "Ports": []}, {"ID": "b", "Ports": []}]],
)  # fmt: skip
def test_links_of_another_shape_make_the_definition_unreadable(links: Any) -> None:
    value = json.dumps({**json.loads(render_definition(SHOP)), "Links": links}).encode()
    with pytest.raises(ConfigError):
        parse_definition("shop", value)
