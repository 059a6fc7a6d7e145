"""`load`: precedence, origins, and the one-line errors."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.config import EtcdOptions, Settings, changed, describe, in_force, load, needing_restart
from flanpy.config.option import Option
from flanpy.config.options import BY_NAME, OPTIONS
from flanpy.config.settings import ListenAddress
from flanpy.errors import ConfigError, UsageError

NOWHERE = Path("/nonexistent/flanpyd.toml")


def _load(*argv: str, **environ: str) -> Settings:
    return load(argv, environ, default_file=NOWHERE)


def _error(kind: type[ConfigError], argv: Sequence[str] = (), environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(argv, environ or {}, default_file=NOWHERE)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.isprintable(), "one line"
    return text


def test_settings_are_the_defaults_when_nothing_is_given() -> None:
    settings = _load()
    assert settings == Settings()
    assert settings.warnings == ()
    assert {str(origin) for origin in settings.origins.values()} == {"default"}
    assert list(settings.origins) == [option.name for option in OPTIONS]


# name, text, where it lands, typed value: every option, so that a new one cannot be forgotten
VALUES: list[tuple[str, str, str, Any]] = [
    ("etcd-endpoints", "http://a:1,b,[fd00::1]:3", "etcd.endpoints", ("http://a:1", "http://b:2379", "http://[fd00::1]:3")),
    ("etcd-prefix", "/atomic.io/network/", "etcd.prefix", "/atomic.io/network"),
    ("etcd-keyfile", "{pem}", "etcd.keyfile", "{pem}"),
    ("etcd-certfile", "{pem}", "etcd.certfile", "{pem}"),
    ("etcd-cafile", "{pem}", "etcd.cafile", "{pem}"),
    ("etcd-username", "root", "etcd.username", "root"),
    ("etcd-password", "pass word=1", "etcd.password", "pass word=1"),
    ("etcd-plain-password", "true", "etcd.plain_password", True),
    ("etcd-follow", "true", "etcd.follow", True),
    ("leases-from", "/etc/flanpy/hosts.json", "leases.place", "/etc/flanpy/hosts.json"),
    ("leases-cafile", "{pem}", "leases.cafile", "{pem}"),
    ("iface", "eth1,10.0.0.1", "underlay.iface", ("eth1", "10.0.0.1")),
    ("iface-regex", "^eth[0-9]{1,2}$", "underlay.iface_regex", ("^eth[0-9]{1,2}$",)),
    ("iface-can-reach", "10.9.0.1", "underlay.iface_can_reach", IPv4Address("10.9.0.1")),
    ("public-ip", "192.0.2.7", "underlay.public_ip", IPv4Address("192.0.2.7")),
    ("public-ipv6", "2001:db8::7", "underlay.public_ipv6", IPv6Address("2001:db8::7")),
    ("subnet-file", "/run/x.env", "subnet_file", Path("/run/x.env")),
    ("subnet-lease-renew-margin", "30", "subnet_lease_renew_margin", 1800.0),
    ("subnet-lease-ttl", "2h", "subnet_lease_ttl", 7200),
    ("ip-masq", "true", "filter.ip_masq", True),
    ("ip-masq-fully-random-disable", "1", "filter.ip_masq_fully_random_disable", True),
    ("iptables-resync", "7", "filter.iptables_resync", 7.0),
    ("iptables-forward-rules", "0", "filter.iptables_forward_rules", False),
    ("ip-blackhole-route", "T", "filter.ip_blackhole_route", True),
    ("filter-backend", "nft", "filter.backend", "nft"),
    ("encapsulation-guard", "strangers", "filter.encapsulation_guard", "strangers"),
    ("healthz-ip", "::1", "listen.healthz_ip", IPv6Address("::1")),
    ("healthz-port", "8471", "listen.healthz_port", 8471),
    ("metrics-listen", "[::1]:8475", "listen.metrics_listen", ListenAddress(ip_address("::1"), 8475)),
    ("page-listen", "[::1]:8474", "page.listen", ListenAddress(ip_address("::1"), 8474)),
    ("page-cert", "{pem}", "page.cert", "{pem}"),
    ("page-key", "{pem}", "page.key", "{pem}"),
    ("page-token-file", "{pem}", "page.token_file", "{pem}"),
    ("probe", "false", "probe.on", False),
    ("probe-interval", "500ms", "probe.interval", 0.5),
    ("mesh-port", "0", "probe.mesh_port", 0),
    ("docker-mode", "Network", "docker.mode", "network"),
    ("docker-socket", "/d.sock", "docker.socket", Path("/d.sock")),
    ("docker-config-file", "/d.json", "docker.config_file", Path("/d.json")),
    ("docker-restart", "if-idle", "docker.restart", "if-idle"),
    ("docker-restart-command", "service docker restart", "docker.restart_command", "service docker restart"),
    ("docker-restart-timeout", "2m", "docker.restart_timeout", 120.0),
    ("cloud-endpoint", "https://vpce-1.example", "cloud.endpoint", "https://vpce-1.example"),
    ("cloud-interval", "5m", "cloud.interval", 300.0),
    ("log-format", "JSON", "log.format", "json"),
    ("log-level", "debug", "log.level", "debug"),
    ("node-id", "h1.example", "node_id", "h1.example"),
    ("host-name", "web-1.example", "host_name", "web-1.example"),
    ("host-label", "web,rack-1", "host_label", ("web", "rack-1")),
    ("state-dir", "/s", "state_dir", Path("/s")),
    ("run-dir", "/r", "run_dir", Path("/r")),
    ("resync-interval", "1m30s", "resync_interval", 90.0),
    ("dns-listen", "169.254.53.53:53", "dns_listen", ListenAddress(ip_address("169.254.53.53"), 53)),
    ("vxlan-tx-checksum", "on", "vxlan_tx_checksum", "on"),
    ("udp-plane", "user", "udp_plane", "user"),
    ("wireguard-key-max-age", "90d", "wireguard_key_max_age", 90 * 86_400.0),
    ("encryption", "Required", "encryption", "required"),
    ("extension-command", "/x/add --fast", "extension_command", ("/x/add --fast",)),
    ("allowed-network", "10.50.0.0/16,fd50::/48", "allowed_network",
     (IPv4Network("10.50.0.0/16"), IPv6Network("fd50::/48"))),
]  # fmt: skip
# What an option cannot be given without.
COMPANY = {
    "etcd-keyfile": {"FLANPYD_ETCD_CERTFILE": "{pem}", "FLANPYD_ETCD_ENDPOINTS": "https://a"},
    "etcd-certfile": {"FLANPYD_ETCD_KEYFILE": "{pem}", "FLANPYD_ETCD_ENDPOINTS": "https://a"},
    "etcd-cafile": {"FLANPYD_ETCD_ENDPOINTS": "https://a"},
    "etcd-username": {"FLANPYD_ETCD_PASSWORD": "x"},
    "etcd-password": {"FLANPYD_ETCD_USERNAME": "x"},
    "leases-cafile": {"FLANPYD_LEASES_FROM": "https://a"},
    "page-cert": {"FLANPYD_PAGE_KEY": "{pem}"},
    "page-key": {"FLANPYD_PAGE_CERT": "{pem}"},
    "page-token-file": {},
}


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    (tmp_path / "some.pem").write_text("pem")
    return tmp_path / "some.pem"


def test_table_of_values_names_every_option() -> None:
    assert [name for name, *_ in VALUES] == [option.name for option in OPTIONS if option.name != "config"]


@pytest.mark.parametrize(
    "form", ["--{}={}", "-{}={}", "--{} {}", "-{} {}", "FLANPYD", "FLANNELD", "file", "file_"]
)
@pytest.mark.parametrize(
    ("name", "text", "field", "value"), VALUES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_option_has_its_typed_value_and_origin_from_every_source(
    name: str, text: str, field: str, value: Any, form: str, pem: Path
) -> None:
    option = BY_NAME[name]
    text, expected = text.replace("{pem}", str(pem)), pem if value == "{pem}" else value
    environ = {key: item.replace("{pem}", str(pem)) for key, item in COMPANY.get(name, {}).items()}
    argv, file = list[str](), pem.parent / "flanpyd.toml"
    where = f"flag --{name}"
    if form.startswith("-"):
        if option.kind.switch and " " in form:
            form = "--{}={}"
        argv = [part.replace("{}", text) for part in form.replace("{}", name, 1).split(" ")]
    elif form.startswith("file"):
        key = name.replace("-", "_") if form == "file_" else name
        file.write_text(f"\n{key} = '{text}'\n")
        where = f"file {file}:2"
    elif form == "FLANNELD" and option.own:
        return
    else:
        environ[f"{form}_{name.upper().replace('-', '_')}"] = text
        where = f"env {form}_{name.upper().replace('-', '_')}"
    settings = load(argv, environ, default_file=file)
    assert option.field == field
    assert option.of(settings) == expected
    assert str(settings.origins[name]) == where


_SOURCES = ("flag", "FLANPYD", "FLANNELD", "FLANNEL", "file")


@given(st.sets(st.sampled_from(_SOURCES)), st.permutations(_SOURCES))
def test_strongest_source_wins_whatever_others_say(
    tmp_path_factory: Any, present: set[str], shuffled: list[str]
) -> None:
    file = tmp_path_factory.mktemp("config") / "f.toml"
    argv, environ = list[str](), dict[str, str]()
    for source in shuffled:
        if source not in present:
            continue
        if source == "flag":
            argv.append("--etcd-prefix=/flag")
        elif source == "file":
            file.write_text("etcd-prefix = '/file'")
        else:
            environ[f"{source}_ETCD_PREFIX"] = f"/{source}"
    settings = load(argv, environ, default_file=file)
    winner = next((source for source in _SOURCES if source in present), None)
    assert settings.etcd.prefix == (f"/{winner}" if winner else EtcdOptions().prefix)
    assert (settings.origins["etcd-prefix"].source == "default") is (winner is None)


_TEXTS = st.text(max_size=30) | st.text("0123456789.:/[]@,-hms%{}()*+?\\'\"=", max_size=20)


def _understood_or_refused_in_one_line(argv: Sequence[str], environ: dict[str, str], file: Path) -> bool:
    try:
        load(argv, environ, default_file=file)
    except ConfigError as error:
        text = str(error)
        return text.isprintable() and len(text) < 400
    return True


@given(st.sampled_from(OPTIONS), _TEXTS, st.sampled_from(["flag", "env", "file"]))
def test_any_text_is_a_value_or_one_line_of_error(
    tmp_path_factory: pytest.TempPathFactory, option: Option, text: str, source: str
) -> None:
    file = tmp_path_factory.mktemp("config") / "f.toml"
    if source == "file":
        file.write_bytes(f"{option.name} = '{text}'".encode(errors="replace"))
    argv = [f"--{option.name}={text}"] if source == "flag" else []
    environ = {option.env[0]: text} if source == "env" else {}
    assert _understood_or_refused_in_one_line(argv, environ, file)


_ARGUMENTS = ["--iface", "-ip-masq", "--", "-", "--help", "--x=", "--=x", "--\x07", "--etcd-cafile=/\x07"]


@given(st.lists(_TEXTS | st.sampled_from(_ARGUMENTS), max_size=4))
def test_any_command_line_is_understood_or_refused_in_one_line(argv: list[str]) -> None:
    assert _understood_or_refused_in_one_line(argv, {}, NOWHERE)


@given(_TEXTS)
def test_any_environment_is_understood_or_refused_in_one_line(name: str) -> None:
    assert _understood_or_refused_in_one_line([], {f"FLANPYD_{name}": "x"}, NOWHERE)


@given(
    st.text(max_size=60)
    | st.binary(max_size=60)
    | st.sampled_from(['"\\u0007" = 1', '["\\u000a"]\na = 1', "a.b.c = 1"])
)
def test_any_file_is_understood_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    file = tmp_path_factory.mktemp("config") / "f.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    assert _understood_or_refused_in_one_line([], {}, file)


def test_repeatable_flags_add_up_and_replace_what_weaker_sources_say() -> None:
    settings = _load("--iface=eth1", "-iface", "eth2,eth3", FLANNELD_IFACE="eth9")
    assert settings.underlay.iface == ("eth1", "eth2", "eth3")
    assert _load("--iface-regex=a,b", "--iface-regex=c").underlay.iface_regex == ("a,b", "c")


def test_last_flag_wins_when_it_is_given_twice() -> None:
    assert _load("--log-level=debug", "--log-level=error").log.level == "error"


def test_switch_is_on_when_it_stands_alone() -> None:
    assert _load("-ip-masq").filter.ip_masq
    assert not _load("--iptables-forward-rules=false").filter.iptables_forward_rules


def test_empty_environment_variable_counts_as_unset() -> None:
    settings = _load(FLANPYD_ETCD_PREFIX="", FLANNELD_ETCD_PREFIX="/b")
    assert settings.etcd.prefix == "/b"


def test_flannel_environment_that_is_not_known_is_ignored() -> None:
    assert _load(FLANNELD_KUBE_SUBNET_MGR="true", FLANNEL_NETWORK="10.0.0.0/8") == Settings()


def test_variables_of_the_tools_are_no_settings() -> None:
    assert _load(FLANPYD_OPTS="--x") == Settings()


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--etcd-endpoint=x"], ["'--etcd-endpoint'", "did you mean '--etcd-endpoints'"]),
        (["-qqq"], ["'--qqq'", "--help"]),
        (["--log-level=inof"], ["--log-level", "'inof'", "did you mean 'info'"]),
        (["--ip-masq=treu"], ["--ip-masq", "'treu'", "did you mean 'true'"]),
        (["--ip-masq", "false"], ["'false'", "--ip-masq=false"]),
        (["run"], ["'run'"]),
        (["--", "x"], ["'--'"]),
        (["---iface=x"], ["'---iface=x'"]),
        (["--iface"], ["--iface needs a value"]),
        (["--kube-subnet-mgr"], ["--kube-subnet-mgr", "Kubernetes"]),
        (["--public-ip=10.0.0.300"], ["--public-ip", "'10.0.0.300'", "IPv4"]),
        (["--public-ip=127.0.0.1"], ["'127.0.0.1'", "reach"]),
        (["--public-ip=fd00::1"], ["'fd00::1'", "IPv4"]),
        (["--public-ipv6=10.0.0.1"], ["'10.0.0.1'", "IPv6"]),
        (["--healthz-port=70000"], ["'70000'", "65535"]),
        (["--healthz-port=²"], ["'²'", "65535"]),
        (["--metrics-listen=8475"], ["'8475'", "127.0.0.1:8475"]),
        (["--metrics-listen=:8475"], ["':8475'"]),
        (["--subnet-lease-ttl=1"], ["'1'", "at least 2s"]),
        (["--subnet-lease-ttl=24 hours"], ["'24 hours'", "24h"]),
        (["--subnet-lease-ttl=٣s"], ["24h"]),
        (["--subnet-lease-renew-margin=x"], ["'x'", "minutes"]),
        (["--etcd-endpoints="], ["''", "http://"]),
        (["--etcd-endpoints=ftp://a"], ["'ftp://a'", "http://10.0.0.1:2379"]),
        (["--etcd-endpoints=http://a:b"], ["'http://a:b'"]),
        (["--etcd-endpoints=http://a/v3"], ["'http://a/v3'"]),
        (["--etcd-endpoints=http://a,https://b"], ["all http://"]),
        (["--etcd-prefix=/"], ["'/'", "prefix"]),
        (["--iface-regex=eth["], ["'eth['", "regular expression"]),
        (
            ["--extension-command=ip route add $SUBNET"],
            ["'ip route add $SUBNET'", "needs no shell", "script"],
        ),
        (["--extension-command=say 'hi"], ["say 'hi", "command line"]),
        (["--allowed-network=10.50.0.1/16"], ["'10.50.0.1/16'", "10.50.0.0/16", "host bits"]),
        (["--allowed-network=10.50"], ["'10.50'", "networks"]),
        (["--node-id=a b"], ["'a b'", "letters"]),
        (["--node-id=a\nb"], ["'a\\nb'"]),
        (["--host-name=192.0.2.1"], ["'192.0.2.1'", "host name"]),
        (["--host-name=localhost"], ["'localhost'", "host name"]),
        (["--state-dir="], ["--state-dir", "path"]),
        (["--config=/nonexistent/x.toml"], ["'/nonexistent/x.toml'", "does not exist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_flag_is_named_with_its_value_and_the_nearest_right_one(
    argv: list[str], parts: list[str]
) -> None:
    kind = ConfigError if "does not exist" in parts else UsageError
    text = _error(kind, argv)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"FLANPYD_NODEID": "x"}, ["'FLANPYD_NODEID'", "did you mean 'FLANPYD_NODE_ID'"]),
        ({"FLANPYD_ZZZZZ": "x"}, ["'FLANPYD_ZZZZZ'", "--help"]),
        ({"FLANNELD_PUBLIC_IP": "x"}, ["env FLANNELD_PUBLIC_IP", "'x'", "IPv4"]),
        ({"FLANPYD_CONFIG": "/nonexistent/x.toml"}, ["'/nonexistent/x.toml'"]),
    ],
)
def test_wrong_environment_variable_is_named_with_its_value(
    environ: dict[str, str], parts: list[str]
) -> None:
    text = _error(ConfigError, (), environ)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    "argv", [["--etcd-endpoints=http://root:hunter2@h:1"], ["--etcd-password=hunter2\x07"]]
)
def test_error_never_shows_a_password(argv: list[str]) -> None:
    assert "hunter2" not in _error(UsageError, argv)


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--page-key=/k"], ["page-key /k (flag --page-key)", "page-cert"]),
        (
            ["--page-listen=0.0.0.0:8474"],
            ["page-listen 0.0.0.0:8474", "page-cert", "page-key", "page-token-file"],
        ),
        (["--page-listen=[::]:8474", "--page-token-file=/t"], ["page-cert and page-key,"]),
        (
            ["--page-listen=[::1]:1", "--page-token-file=/missing"],
            ["page-token-file /missing", "No such file"],
        ),
        (["--etcd-keyfile=/k"], ["etcd-keyfile /k (flag --etcd-keyfile)", "etcd-certfile"]),
        (["--etcd-certfile=/c"], ["etcd-certfile /c", "etcd-keyfile"]),
        (["--etcd-password=secret1"], ["etcd-password (flag", "etcd-username"]),
        (["--etcd-username=u"], ["etcd-username u", "etcd-password"]),
        (
            [
                "--etcd-username=u",
                "--etcd-password=secret1",
                "--etcd-endpoints=http://127.0.0.1:1,http://etcd.example",
            ],
            [
                "etcd-password (flag",
                "http://etcd.example:2379 in clear text",
                "https://",
                "etcd-plain-password",
            ],
        ),
        (["--etcd-cafile=/c"], ["etcd-cafile /c", "https://"]),
        (["--etcd-cafile=/nope", "--etcd-endpoints=https://a"], ["/nope", "No such file"]),
        (["--etcd-cafile=/", "--etcd-endpoints=https://a"], ["etcd-cafile /", "directory"]),
        (["--etcd-cafile=/dev/null", "--etcd-endpoints=https://a"], ["/dev/null", "empty"]),
        (
            ["--encryption=required", "--filter-backend=off"],
            ["encryption required (flag --encryption)", "filter-backend off", "set it to auto"],
        ),
        (["--leases-cafile=/c"], ["leases-cafile /c", "https:// URL in leases-from"]),
        (["--leases-from=https://h/x", "--leases-cafile=/nope"], ["leases-cafile /nope", "No such file"]),
        (["--leases-from=http://192.0.2.1/x"], ["leases-from http://192.0.2.1/x", "unprotected", "https://"]),
        (["--leases-from=ftp://h/x"], ["leases-from ftp://h/x", "neither a path nor an https:// URL"]),
        (["--run-dir=/" + "r" * 90], ["run-dir", "80 bytes"]),
        (
            ["--subnet-lease-ttl=60", "--subnet-lease-renew-margin=1"],
            ["renew-margin 1 (flag", "subnet-lease-ttl 1m"],
        ),
    ],
)
def test_options_that_do_not_fit_together_are_named_with_their_origins(
    argv: list[str], parts: list[str]
) -> None:
    text = _error(ConfigError, argv)
    assert [part for part in parts if part not in text] == []
    assert "secret1" not in text


def test_renew_margin_shrinks_when_only_the_ttl_was_given() -> None:
    settings = _load("--subnet-lease-ttl=10")
    assert settings.subnet_lease_renew_margin == 5.0
    assert str(settings.origins["subnet-lease-renew-margin"]) == "default half of subnet-lease-ttl"


def test_authority_file_alone_is_enough_for_tls(pem: Path) -> None:
    settings = _load("--etcd-endpoints=https://a", f"--etcd-cafile={pem}")
    assert settings.etcd.tls
    assert (settings.etcd.cafile, settings.etcd.certfile) == (pem, None)


def test_password_is_masked_wherever_settings_are_shown() -> None:
    settings = _load(FLANPYD_ETCD_USERNAME="root", FLANPYD_ETCD_PASSWORD="hunter2")
    assert settings.etcd.password == "hunter2"
    assert "hunter2" not in repr(settings) + str(describe(settings))
    shown = {line.name: line for line in describe(settings)}
    assert shown["etcd-password"] == ("etcd-password", "********", "env FLANPYD_ETCD_PASSWORD")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (
            [
                "--etcd-username=u",
                "--etcd-password=p",
                "--etcd-endpoints=http://192.0.2.1",
                "--etcd-plain-password",
            ],
            "clear text",
        ),
        (
            ["--page-token-file=/t"],
            "page-token-file /t (flag --page-token-file) has no effect: page-listen is off",
        ),
        (["--etcd-username=u", "--etcd-password=p"], "process list"),
        (
            ["--leases-from=/h", "--etcd-endpoints=http://127.0.0.1:2379"],
            "etcd-endpoints http://127.0.0.1:2379 (flag --etcd-endpoints) has no effect",
        ),
        (["-v=4"], "--v has no effect"),
        (["--logtostderr", "-v", "4"], "--logtostderr has no effect"),
    ],
)
def test_doubtful_settings_are_accepted_with_a_warning(argv: list[str], word: str) -> None:
    assert any(word in line for line in _load(*argv).warnings)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:1", "http://localhost"]
)
def test_password_for_an_etcd_on_this_host_is_taken_without_a_word(endpoint: str) -> None:
    settings = _load(f"--etcd-endpoints={endpoint}", FLANPYD_ETCD_USERNAME="u", FLANPYD_ETCD_PASSWORD="p")
    assert settings.warnings == ()


def test_described_values_give_the_same_settings_when_read_again() -> None:
    argv = [f"--{name}={text}" for name, text, *_ in VALUES if name not in COMPANY]
    settings = _load(*argv)
    again = _load(*(f"--{line.name}={line.value}" for line in describe(settings) if line.value))
    assert again == settings


def test_changed_names_options_whose_values_differ_and_not_their_origins() -> None:
    old = _load("--log-level=debug")
    assert changed(old, _load(FLANPYD_LOG_LEVEL="debug")) == ()
    new = _load("--resync-interval=5s", "--node-id=x")
    assert changed(old, new) == ("log-level", "node-id", "resync-interval")
    assert needing_restart(changed(old, new)) == ("node-id",)


def test_reload_puts_in_force_what_it_can_and_keeps_the_rest_with_its_origin() -> None:
    running = load(["--iface=eth0", "--log-level=info", "--resync-interval=1m"], {})
    new = load(["--iface=eth1"], {"FLANPYD_LOG_LEVEL": "debug"})
    merged = in_force(running, new)
    assert merged.log.level == "debug"
    assert str(merged.origins["log-level"]) == "env FLANPYD_LOG_LEVEL"
    assert (merged.resync_interval, str(merged.origins["resync-interval"])) == (60.0, "default")
    assert (merged.underlay.iface, str(merged.origins["iface"])) == (("eth0",), "flag --iface")
    assert needing_restart(changed(merged, new)) == ("iface",)
    assert changed(in_force(running, running), running) == ()


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.reloadable], ids=lambda o: o.name)
def test_every_reloadable_option_is_put_in_force(option: Option, pem: Path) -> None:
    file = option.kind is BY_NAME["etcd-keyfile"].kind
    text = {
        "log-format": "json",
        "log-level": "error",
        "vxlan-tx-checksum": "off",
        "etcd-plain-password": "true",
    }.get(option.name, str(pem) if file else "7")
    environ = {key: item.replace("{pem}", str(pem)) for key, item in COMPANY.get(option.name, {}).items()}
    new = load([f"--{option.name}={text}"], environ)
    assert option.of(new) != option.default
    assert option.of(in_force(load([], {}), new)) == option.of(new)


@pytest.mark.parametrize(
    ("argv", "file", "value"),
    [
        ([], "", "auto"),
        (["--vxlan-tx-checksum"], "", "on"),
        (["--vxlan-tx-checksum=true"], "", "on"),
        (["--vxlan-tx-checksum=false"], "", "off"),
        (["--vxlan-tx-checksum=AUTO"], "", "auto"),
        ([], "vxlan-tx-checksum = true", "on"),
        ([], "vxlan-tx-checksum = false", "off"),
        ([], "vxlan-tx-checksum = 'off'", "off"),
    ],
)
def test_checksum_offload_keeps_what_its_old_spellings_meant(
    argv: list[str], file: str, value: str, tmp_path: Path
) -> None:
    path = tmp_path / "flanpyd.toml"
    path.write_text(file)
    assert load(argv, {}, default_file=path).vxlan_tx_checksum == value


def test_checksum_offload_names_its_values_when_it_is_none_of_them() -> None:
    with pytest.raises(ConfigError, match="expected one of auto, on, off; did you mean 'auto'"):
        load([], {"FLANPYD_VXLAN_TX_CHECKSUM": "autp"})
