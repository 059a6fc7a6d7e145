"""The record of links: written whole, read without guessing, and the addresses of the next link."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from flanpy.errors import ConfigError, HostError
from flanpy.links.record import POOL, ContainerLink, LinkEnd, free_pair, load, save

WEB = LinkEnd("a" * 64, "web", IPv4Address("10.1.1.1"))
DB = LinkEnd("b" * 64, "db", IPv4Address("10.1.1.2"))
LINK = ContainerLink(WEB, DB)


def test_links_are_kept_and_the_file_goes_with_the_last_one(tmp_path: Path) -> None:
    assert load(tmp_path) == ()
    save([LINK], tmp_path)
    assert load(tmp_path) == (LINK,)
    save([], tmp_path)
    assert list(tmp_path.iterdir()) == []
    save([], tmp_path)


def test_device_has_one_name_whichever_end_comes_first() -> None:
    assert ContainerLink(DB, WEB).device == LINK.device
    assert len(LINK.device) <= 15
    assert (LINK.facing(WEB), LINK.facing(DB)) == (DB, WEB)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"Links": 7}',
        '{"Links": [{"First": {}}]}',
        '{"Links": [{"First": {"ID": "../../x", "Name": "x", "Address": "10.1.1.1"}, "Second": {}}]}',
        '{"Links": [{"First": {"ID": "aaaaaaaaaaaa", "Name": "x", "Address": "ten"}, "Second": {}}]}',
    ],
)
def test_file_that_is_no_record_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "links.json"
    path.write_text(text)
    with pytest.raises(HostError, match=r"links.json' is no list of links"):
        load(tmp_path)
    assert path.read_text() == text


def test_id_of_another_form_is_none() -> None:
    with pytest.raises(ConfigError, match="no id of a container"):
        LinkEnd("../../etc", "web", IPv4Address("10.1.1.1"))


def test_addresses_of_the_next_link_are_free_and_of_the_pool() -> None:
    first = free_pair([])
    assert all(one in POOL for one in first)
    used = ContainerLink(LinkEnd("a" * 12, "x", first[0]), LinkEnd("b" * 12, "y", IPv4Address("10.1.1.1")))
    second = free_pair([used])
    assert not set(first) & set(second)
    assert IPv4Address("169.254.169.254") not in POOL
