"""daemon.json gets our keys and nothing else of it changes, whatever a person wrote there."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.docker import json_text
from flanpy.docker.merge import OWNED, forget_servers, merge, revert, settings_in, still_backs_up
from flanpy.docker.name_servers import NameServers
from flanpy.errors import DockerConflict, DockerError
from tests.docker.values import BIP, WANTED

NAME = "/etc/docker/daemon.json"
OURS = {"bip": BIP, "mtu": 1450}


def merged(text: str | bytes | None, **more: Any) -> str:
    content = text.encode() if isinstance(text, str) else text
    return merge(content, WANTED, name=NAME, **more).content.decode()


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FOREIGN = st.text(min_size=1, max_size=12).filter(
    lambda key: key.lower() not in {*OWNED, "bridge", "fixed-cidr", "default-gateway"}
)
_OURS = st.fixed_dictionaries({}, optional=dict.fromkeys(("bip", "mtu", "ip-masq"), _SCALARS))
_LAYOUTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"indent": 2},
        {"indent": 4},
        {"indent": "\t"},
        {"separators": (",", ":")},
        {"separators": (" , ", " : ")},
    ]
)


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """A daemon.json as somebody may have written it: our keys among others in any order, in any layout."""
    members = list({**draw(st.dictionaries(_FOREIGN, _VALUES, max_size=5)), **draw(_OURS)}.items())
    ordered = dict(draw(st.permutations(members)))
    text = json.dumps(ordered, ensure_ascii=draw(st.booleans()), **draw(_LAYOUTS))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return draw(st.sampled_from(["", "\n", " \n"])) + text + draw(st.sampled_from(["", "\n", "\n\n"]))


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@given(_texts().filter(_utf8))
def test_merge_sets_our_keys_and_keeps_all_others_in_their_order_and_spelling(text: str) -> None:
    result = merged(text)
    before, after = json.loads(text), json.loads(result)
    assert after.items() >= OURS.items()
    assert after.get("ip-masq", True) is True
    assert list(after) == list(before) + [key for key in ("bip", "mtu") if key not in before]
    old = json_text.read_object(text, NAME)
    new = json_text.read_object(result, NAME)
    spelt = {one.key: result[one.start : one.end] for one in new}
    for one in old:
        if one.key not in OWNED:
            assert spelt[one.key] == text[one.start : one.end]
    assert result.startswith(text[: text.index("{") + 1])
    assert result.endswith(text[text.rindex("}") :])


@given(_texts().filter(_utf8))
def test_merge_of_its_own_result_changes_nothing(text: str) -> None:
    result = merged(text)
    again = merge(result.encode(), WANTED, name=NAME)
    assert (again.content.decode(), again.changes) == (result, ())


@given(_texts().filter(_utf8))
def test_revert_after_merge_gives_the_bytes_back(text: str) -> None:
    result = merged(text).encode()
    assert revert(result, text.encode(), name=NAME).content == text.encode()
    assert still_backs_up(text.encode(), result)


@given(_texts().filter(_utf8), _VALUES)
def test_revert_keeps_what_was_edited_since_and_undoes_only_our_keys(text: str, value: Any) -> None:
    edited = {**json.loads(merged(text)), "edited-since": value}
    result = revert(json.dumps(edited).encode(), text.encode(), name=NAME).content
    before = json.loads(text)
    wanted = {key: before[key] for key in before if key not in OWNED or before[key] is not None}
    assert json.loads(result) == {**wanted, "edited-since": value}  # null means the same as no key


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, '{\n    "bip": "10.50.7.1/24",\n    "mtu": 1450\n}\n'),
        ("{}", '{\n    "bip": "10.50.7.1/24",\n    "mtu": 1450\n}'),
        ("{ \n }\n", '{\n    "bip": "10.50.7.1/24",\n    "mtu": 1450\n}\n'),
        (
            '{\n  "log-driver": "journald"\n}\n',
            '{\n  "log-driver": "journald",\n  "bip": "10.50.7.1/24",\n  "mtu": 1450\n}\n',
        ),
        ('{"debug":true}', '{"debug":true, "bip":"10.50.7.1/24", "mtu":1450}'),
        ('{"a":1,"b":2}', '{"a":1,"b":2,"bip":"10.50.7.1/24","mtu":1450}'),
        (
            '{"a": 1, "b": 2,\n "c": 3}',
            '{"a": 1, "b": 2,\n "c": 3,\n "bip": "10.50.7.1/24",\n "mtu": 1450}',
        ),
        ("{\r\n}\r\n", '{\r\n    "bip": "10.50.7.1/24",\r\n    "mtu": 1450\r\n}\r\n'),
        (
            '{\n\t"mtu" :  1500,\n\n\t"debug": true\n}',
            '{\n\t"mtu" :  1450,\n\n\t"debug": true,\n\t"bip": "10.50.7.1/24"\n}',
        ),
        (
            '{\r\n  "a": [1,\r\n2]\r\n}\r\n',
            '{\r\n  "a": [1,\r\n2],\r\n  "bip": "10.50.7.1/24",\r\n  "mtu": 1450\r\n}\r\n',
        ),
    ],
)
def test_merge_lays_new_keys_out_as_the_old_ones(before: str | None, after: str) -> None:
    assert merged(before) == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "bip": "1.2.3.4/24",\n}', ["line ", "left as it is"]),
        ('{\n  // the subnet\n  "bip": "1.2.3.4/24"\n}', ["line 2, column 3", "no comments"]),
        ('{\n  "debug": true, # yes\n  "bip": ""}', ["line 2, column 18", "no comments"]),
        ('{"a": 1} /* end */', ["line 1, column 10", "no comments"]),
        ('{"debug": tru}', ["line 1, column 11"]),
        ('{"a": NaN}', ["NaN is no JSON number"]),
        ("[]", ["array"]),
        ('"bip"', ["string"]),
        ("null", ["null"]),
        ("17", ["number"]),
        ("{", ["line 1, column 2"]),
        ("[" * 100_000, ["nested"]),
        ('{"bip": "1.2.3.4/24", "bip": "1.2.3.5/24"}', ["'bip' 2 times"]),
        ('{"BIP": "1.2.3.4/24"}', ["'BIP'", "write 'bip'"]),
    ],
)  # fmt: skip
def test_merge_refuses_what_it_does_not_understand_naming_the_place(text: str, words: list[str]) -> None:
    with pytest.raises(DockerError) as refused:
        merged(text)
    assert "\n" not in str(refused.value)
    for word in (*words, NAME):
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"bip": 1}'.encode("utf-16"), "UTF-16"),
        ('{"bip": 1}'.encode("utf-32"), "UTF-32"),
        (b'{\n "a": "\xff"}', "line 2, byte 8"),
        (b'\n{"\xff"}', "line 2, byte 3"),
    ],
)
def test_merge_refuses_other_encodings_by_name(content: bytes, word: str) -> None:
    with pytest.raises(DockerError, match=word):
        merged(content)


@pytest.mark.parametrize(
    "text",
    [
        '{"bridge": "br0"}',
        '{"fixed-cidr": "192.168.1.0/25"}',
        '{"fixed-cidr": "10.50.0.0/16"}',
        '{"fixed-cidr": "junk"}',
        '{"default-gateway": "192.168.1.254"}',
        '{"default-gateway": "fd50::1"}',
    ],
)
def test_merge_refuses_keys_that_keep_docker_from_starting_on_our_subnet(text: str) -> None:
    with pytest.raises(DockerConflict, match=next(iter(json.loads(text)))):
        merged(text)


def test_merge_takes_a_fixed_cidr_and_a_gateway_within_our_subnet() -> None:
    text = '{"fixed-cidr": "10.50.7.128/25", "default-gateway": "10.50.7.254", "bridge": ""}'
    assert json.loads(merged(text)).items() >= {**json.loads(text), **OURS}.items()


@pytest.mark.parametrize("text", ['{"fixed-cidr": "", "default-gateway": 5}', '{"a": 1, "a": 2}'])
def test_merge_leaves_to_docker_what_does_not_concern_our_keys(text: str) -> None:
    assert merged(text).startswith(text[:-1])


def test_merge_has_nothing_to_say_about_a_plain_file() -> None:
    for text in ("{}", '{"debug": true}', '{"bip": "10.1.2.1/24", "mtu": 1500}'):
        assert merge(text.encode(), WANTED, name=NAME).notes == ()


def test_merge_makes_a_whole_number_of_one_with_a_point() -> None:
    """Docker's decoder takes no 1450.0 for a whole number, where Python finds the two equal."""
    assert merged('{"bip": "10.50.7.1/24", "mtu": 1450.0}') == '{"bip": "10.50.7.1/24", "mtu": 1450}'


def test_merge_drops_a_byte_order_mark_from_a_file_that_is_right_otherwise() -> None:
    right = merged("{}").encode()
    result = merge(b"\xef\xbb\xbf" + right, WANTED, name=NAME)
    assert (result.content, result.changes) == (right, ())
    assert "byte-order mark" in result.notes[0]


def test_only_member_is_removed_with_its_blanks() -> None:
    for text in ('{"bip": 1}', '{ "bip" : 1 }', '{\n  "bip": 1\n}'):
        members = json_text.read_object(text, NAME)
        assert json_text.remove(text, members, members[0]) == "{}"


def test_merge_drops_a_byte_order_mark_and_says_so() -> None:
    result = merge(b'\xef\xbb\xbf{"debug": true}', WANTED, name=NAME)
    assert result.content == b'{"debug": true, "bip": "10.50.7.1/24", "mtu": 1450}'
    assert "byte-order mark" in result.notes[0]


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_merge_fills_an_empty_file_and_says_so(content: bytes) -> None:
    result = merge(content, WANTED, name=NAME)
    assert json.loads(result.content) == OURS
    assert any("empty" in note for note in result.notes)


@pytest.mark.parametrize("bad", [5, None, True, ["10.50.7.1/24"], {}])
def test_merge_replaces_keys_of_ours_that_have_the_wrong_type_and_says_so(bad: Any) -> None:
    result = merge(json.dumps({"bip": bad, "mtu": "1450", "x": 1}).encode(), WANTED, name=NAME)
    assert json.loads(result.content) == {**OURS, "x": 1}
    assert any("'1450'" in note for note in result.notes)


@pytest.mark.parametrize(
    ("has", "docker_masquerades", "gets"),
    [(None, True, None), (True, True, True), (False, True, True), (None, False, False), (True, False, False),
     (False, False, False), ("yes", True, True)],
)  # fmt: skip
def test_merge_lets_docker_masquerade_only_if_flanpyd_does_not(
    has: Any, docker_masquerades: bool, gets: bool | None
) -> None:
    content = json.dumps({} if has is None else {"ip-masq": has}).encode()
    result = merge(content, replace(WANTED, masquerade=docker_masquerades), name=NAME)
    assert json.loads(result.content).get("ip-masq") is gets


MARK = "0x1000000/0x1000000"


def test_p01_merge_has_dockers_nftables_rules_accept_what_bears_our_mark() -> None:
    before = '{"firewall-backend": "nftables", "debug": true}'
    after = merged(before)
    assert json.loads(after) == {
        **json.loads(before), **OURS, "allow-direct-routing": True, "bridge-accept-fwmark": MARK,
    }  # fmt: skip
    assert merged(after) == after
    assert json.loads(revert(after.encode(), before.encode(), name=NAME).content) == json.loads(before)


@pytest.mark.parametrize("backend", ["", '"firewall-backend": "iptables", '])
def test_merge_leaves_marks_alone_where_docker_uses_iptables(backend: str) -> None:
    before = f'{{{backend}"bridge-accept-fwmark": "0x7"}}'
    after = merged(before)
    assert json.loads(after) == {**json.loads(before), **OURS}
    others = after.replace("0x7", "0x8")
    assert (
        json.loads(revert(others.encode(), before.encode(), name=NAME).content)["bridge-accept-fwmark"]
        == "0x8"
    )


def test_merge_refuses_a_mark_of_somebody_else_by_its_value() -> None:
    with pytest.raises(DockerConflict, match=r"bridge-accept-fwmark '0x7'.*--mode network"):
        merged('{"firewall-backend": "nftables", "bridge-accept-fwmark": "0x7"}')


def test_merge_leaves_ip_masq_when_told_to() -> None:
    assert json.loads(merged('{"ip-masq": false}', keep_masquerade=True))["ip-masq"] is False


def test_backup_is_replaced_when_others_edited_the_file_since_and_kept_otherwise() -> None:
    old, ours = b'{"a": 1}', b'{"a": 1, "bip": "10.50.3.1/24"}'
    assert still_backs_up(old, ours)
    assert not still_backs_up(old, b'{"a": 2, "bip": "10.50.3.1/24"}')
    assert not still_backs_up(old, old)
    assert not still_backs_up(None, ours)
    assert not still_backs_up(None, b'{"bip": "10.50.3.1/24"}')
    assert not still_backs_up(b"junk", ours)


RESOLVER = "169.254.53.53"
SERVERS = NameServers(RESOLVER, ("192.0.2.1", "192.0.2.2"), asked_for=True)


@pytest.mark.parametrize(
    ("stands", "becomes"),
    [
        (None, [RESOLVER, "192.0.2.1", "192.0.2.2"]),
        ([], [RESOLVER, "192.0.2.1", "192.0.2.2"]),
        (["10.1.1.1"], [RESOLVER, "10.1.1.1"]),
        (["10.1.1.1", RESOLVER], [RESOLVER, "10.1.1.1"]),
        ([RESOLVER, "10.1.1.1"], [RESOLVER, "10.1.1.1"]),
        ("10.1.1.1", [RESOLVER, "192.0.2.1", "192.0.2.2"]),
    ],
)
def test_resolver_comes_first_and_what_stands_stays_behind_it(stands: Any, becomes: list[str]) -> None:
    before = json.dumps({"debug": True} if stands is None else {"dns": stands, "debug": True})
    after = merged(before, servers=SERVERS)
    assert json.loads(after) == {"debug": True, **OURS, "dns": becomes}
    assert merged(after, servers=SERVERS) == after
    assert merged(after) == after, "an apply that is not asked for it leaves it as it is"


def test_resolver_that_is_not_asked_for_is_not_written_and_others_dns_is_theirs() -> None:
    known = NameServers(RESOLVER)
    for before in ('{"a": 1}', '{"dns": ["10.1.1.1"]}', '{"DNS": 1, "dns": 2, "dns": 3}'):
        after = merged(before, servers=known)
        assert after.startswith(before[:-1])
        assert still_backs_up(before.encode(), after.encode(), known)
        edited = after.replace("10.1.1.1", "10.1.1.2").encode()
        assert json.loads(revert(edited, before.encode(), name=NAME, servers=known).content) == json.loads(
            before.replace("10.1.1.1", "10.1.1.2")
        )


def test_new_name_servers_are_told_with_what_nobody_expects_of_them() -> None:
    content = b'{"dns": ["10.1.1.1", "10.1.1.2", "10.1.1.3"]}'
    notes = merge(content, WANTED, name=NAME, servers=SERVERS).notes
    assert "it does not ask 10.1.1.3 any more" in notes[1]
    alone = merge(b"{}", WANTED, name=NAME, servers=replace(SERVERS, behind=())).notes
    assert f"no server is named after {RESOLVER}" in alone[1]


@pytest.mark.parametrize("before", ['{"a": 1}', '{"a": 1, "dns": ["10.1.1.1"]}', '{"dns": []}'])
def test_name_servers_are_taken_back_with_our_other_keys_and_by_themselves(before: str) -> None:
    after, known = merged(before, servers=SERVERS).encode(), NameServers(RESOLVER)
    assert still_backs_up(before.encode(), after, known)
    assert revert(after, before.encode(), name=NAME, servers=known).content == before.encode()
    alone = forget_servers(after, before.encode(), name=NAME, servers=known).content
    assert json.loads(alone) == {**json.loads(before), **OURS}
    assert forget_servers(alone, before.encode(), name=NAME, servers=known).changes == ()
    assert forget_servers(after, None, name=NAME, servers=known).changes == (), "not of apply's hand"


def test_name_servers_that_others_added_since_stay() -> None:
    before = '{"dns": ["10.1.1.1"]}'
    since = merged(before, servers=SERVERS).replace('"10.1.1.1"', '"10.1.1.1", "10.1.1.9"').encode()
    known = NameServers(RESOLVER)
    assert json.loads(revert(since, before.encode(), name=NAME, servers=known).content) == {
        "dns": ["10.1.1.1", "10.1.1.9"]
    }


@given(st.text(alphabet=string.printable, max_size=40))
def test_merge_of_any_text_refuses_or_gives_json_with_our_keys(text: str) -> None:
    try:
        result = merged(text)
    except DockerError:
        return
    assert settings_in(result.encode(), NAME).items() >= OURS.items()
