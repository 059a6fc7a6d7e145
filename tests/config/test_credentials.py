"""Settings from systemd's credentials, and the service's environment file."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from flanpy.config import Settings, load
from flanpy.config.options import OPTIONS
from flanpy.config.template import environment_file
from flanpy.errors import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
TLS = {"FLANPYD_ETCD_ENDPOINTS": "https://192.0.2.1:2379"}


def _loaded(tmp_path: Path, **environ: str) -> Settings:
    named = {**TLS, "CREDENTIALS_DIRECTORY": str(tmp_path), **environ}
    return load([], named, default_file=tmp_path / "no.toml")


def test_credential_is_the_path_of_its_file_when_the_option_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.etcd-cafile").write_text("pem")
    settings = _loaded(tmp_path)
    assert settings.etcd.cafile == tmp_path / "flanpyd.etcd-cafile"
    assert str(settings.origins["etcd-cafile"]) == f"credential {tmp_path}/flanpyd.etcd-cafile"


def test_credential_is_its_first_line_when_the_option_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.etcd-password").write_text("s3cret\nand a remark\n")
    settings = _loaded(tmp_path, FLANPYD_ETCD_USERNAME="flanpy")
    assert settings.etcd.password == "s3cret"


def test_environment_wins_over_a_credential_and_a_credential_over_the_file(tmp_path: Path) -> None:
    for name in ("flanpyd.etcd-cafile", "flanpyd.page-token-file", "given"):
        (tmp_path / name).write_text("x" * 20)
    file = tmp_path / "settings.toml"
    file.write_text(f'[page]\ntoken-file = "{tmp_path}/given"\n')
    environ = {**TLS, "FLANPYD_ETCD_CAFILE": f"{tmp_path}/given", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    settings = load([], environ, default_file=file)
    assert settings.etcd.cafile == tmp_path / "given"
    assert settings.page.token_file == tmp_path / "flanpyd.page-token-file"


def test_store_is_looked_at_when_there_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.etcd-cafile").write_text("pem")
    settings = load([], TLS, default_file=tmp_path / "no.toml", credential_store=tmp_path)
    assert settings.etcd.cafile == tmp_path / "flanpyd.etcd-cafile"


def test_credential_of_another_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.node-id").write_text("x")
    (tmp_path / "etcd-cafile").write_text("x")
    assert _loaded(tmp_path).etcd.cafile is None


def test_credential_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.etcd-password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"flanpyd\.etcd-password cannot be read: it is not text"):
        _loaded(tmp_path)


def test_unit_asks_for_every_credential_that_there_is() -> None:
    unit = (PROJECT_ROOT / "deploy/systemd/flanpyd.service").read_text().splitlines()
    asked = {line.partition("=")[2] for line in unit if line.startswith("LoadCredential=")}
    assert asked == {f"flanpyd.{option.name}" for option in OPTIONS if option.credential}


def test_shipped_environment_file_is_current() -> None:
    """`flanpyctl config env > deploy/systemd/flanpyd.default` brings it up to date."""
    assert (PROJECT_ROOT / "deploy/systemd/flanpyd.default").read_text() == environment_file()


def test_environment_file_says_what_is_in_force_when_every_line_is_taken_in(tmp_path: Path) -> None:
    text = environment_file().replace("\n#FLANPYD_", "\nFLANPYD_")
    set_by_shell = subprocess.run(
        ["sh", "-c", f"set -a; eval {shlex.quote(text)}; env -0"],
        capture_output=True, text=True, check=True, env={},
    )  # fmt: skip
    values = dict(
        line.split("=", 1) for line in set_by_shell.stdout.split("\0") if line.startswith("FLANPYD_")
    )
    assert set(values) == {option.env[0] for option in OPTIONS}
    given = {**values, "FLANPYD_ETCD_ENDPOINTS": "", "FLANPYD_IFACE": ""}
    assert load([], given, default_file=tmp_path / "no.toml") == Settings()
