"""Records of names in etcd: what is written is read back, and one that is broken is one clear error."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import ConfigError
from flanpy.model.networks.names import MOST_CONTAINERS, ToldNames
from flanpy.names.records import LARGEST, decode_names, encode_names, names_key, read_key
from tests.names.test_table import TOLD, box

PREFIX = "/coreos.com/network"


@given(TOLD)
def test_record_is_read_as_it_was_written(told: ToldNames) -> None:
    key = names_key(PREFIX, told.network, told.node_id)
    assert decode_names(*read_key(PREFIX, key), encode_names(told)) == told


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        b'{"C":{}}',
        b'{"C":[["web"]]}',
        b'{"C":[["web",["10.96.1"],[]]]}',
        b'{"C":[[7,[],[]]]}',
        b'{"C":[["web",7,[]]]}',
        b'{"C":[["a\\u0007",[],[]]]}',
        b'{"Host":7,"C":[]}',
        b'{"Host":"\\u001b[2J","C":[]}',
        b"[" * 5000,
        b'{"C":[["' + b"x" * 300 + b'",[],[]]]}',
        b" " * (LARGEST + 1),
    ],
)
def test_broken_record_is_one_line(value: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_names("shop", "n1", value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_record_of_before_has_no_times_and_one_with_times_is_read_by_versions_of_before() -> None:
    told = ToldNames("shop", "n1", "h1", (box("web", "10.96.1.2", aliases=("a",), created=1_800_000_000),))
    written = json.loads(encode_names(told))
    assert [len(one) for one in written["C"]] == [4], "what a version of before takes"
    assert written["T"] == [1_800_000_000]
    broken: tuple[dict[str, object], ...] = (
        {},
        {"T": []},
        {"T": 7},
        {"T": ["x"]},
        {"T": [-1]},
        {"T": [True]},
        {"T": [1 << 99]},
    )
    for odd in broken:
        document = {"Host": written["Host"], "C": written["C"], **odd}
        (read,) = decode_names("shop", "n1", json.dumps(document).encode()).containers
        assert (read.name, read.created) == ("web", 0), odd


def test_record_of_too_many_containers_is_cut_off() -> None:
    told = ToldNames("shop", "n1", "h1", tuple(box(f"c{i}", "10.96.1.2") for i in range(MOST_CONTAINERS + 5)))
    assert len(decode_names("shop", "n1", encode_names(told)).containers) == MOST_CONTAINERS


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one, max_size=4), max_leaves=8)
)
def test_any_document_is_a_record_or_one_error(found: object) -> None:
    with suppress(ConfigError):
        decode_names("shop", "n1", json.dumps({"Host": "h", "C": found}).encode())
