"""flanpyctl knows what an operator wrote into the service's environment file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.config import Settings, load
from flanpy.errors import ConfigError

FILE = """\
# FLANPYD_NODE_ID=commented
; FLANPYD_NODE_ID=too
FLANPYD_ETCD_ENDPOINTS=https://192.0.2.1:2379
  FLANPYD_ETCD_USERNAME = "flan py"
FLANPYD_ETCD_PASSWORD='s3 cret'
FLANPYD_NODE_ID=
not an assignment
OTHER=1
"""


def _loaded(*files: Path, **environ: str) -> Settings:
    return load([], environ, default_file=Path("/nonexistent/flanpyd.toml"), service_files=files)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flanpyd"
    path.write_text(FILE)
    return path


def test_the_services_file_gives_settings_as_systemd_reads_it(file: Path) -> None:
    settings = _loaded(file)
    assert settings.etcd.username == "flan py"
    assert settings.etcd.password == "s3 cret"
    assert settings.node_id is None
    assert str(settings.origins["etcd-username"]) == f"env FLANPYD_ETCD_USERNAME in {file}"


def test_the_environment_wins_over_the_services_file(file: Path) -> None:
    assert _loaded(file, FLANNELD_ETCD_USERNAME="other").etcd.username == "other"


def test_the_later_file_wins_and_one_that_is_not_there_says_nothing(file: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.write_text("FLANPYD_ETCD_USERNAME=later\n")
    assert _loaded(file, tmp_path / "absent", later).etcd.username == "later"


def test_a_misspelt_setting_in_the_services_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "flanpyd"
    path.write_text("FLANPYD_ETCD_ENDPOINT=http://192.0.2.1:2379\n")
    with pytest.raises(ConfigError, match="FLANPYD_ETCD_ENDPOINT"):
        _loaded(path)


def test_a_password_is_the_one_that_systemd_gives_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "flanpyd"
    path.write_text('FLANPYD_ETCD_USERNAME=u\nFLANPYD_ETCD_PASSWORD="a\\$b"c\n')
    assert _loaded(path).etcd.password == "a$bc"


def test_comment_by_which_an_older_systemd_leaves_out_a_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "flanpyd"
    path.write_text("# see C:\\\nFLANPYD_IFACE=eth1\n")
    loaded = _loaded(path)
    assert loaded.underlay.iface == ("eth1",)
    (said,) = loaded.warnings
    assert said.startswith(f"line 1 of {path} is a comment that ends in a backslash: systemd before 254")


@pytest.mark.parametrize("name", ["FLANPYD_OPTIONS", "FLANPYD_OPTS", "FLANPYD_ARGS"])
def test_a_variable_of_arguments_that_nothing_expands_is_named_with_what_to_write(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "flanpyd"
    path.write_text(f'{name}="--iface=eth1 -etcd-password=s3cret --no-such"\n')
    (said,) = _loaded(path).warnings
    assert said.startswith(f"{name} has no effect")
    assert said.endswith("write FLANPYD_IFACE=eth1 FLANPYD_ETCD_PASSWORD=...")
    assert _loaded(path).underlay.iface != ("eth1",)


def test_a_variable_of_arguments_that_a_unit_expands_is_in_order() -> None:
    environ = {"FLANPYD_OPTIONS": "--iface=eth1 --public-ip=192.0.2.1"}
    argv = ["--iface=eth1", "--public-ip=192.0.2.1"]
    assert load(argv, environ, default_file=Path("/nonexistent/flanpyd.toml")).warnings == ()
