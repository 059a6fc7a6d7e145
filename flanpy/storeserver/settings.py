"""Settings of flanpy-store: flag over environment over default, with etcd's names where etcd has one.

Owns the table of options and what may stand in them. Must not open anything but what `check` names. Plain text is taken
on loopback only: what crosses a network is TLS with client certificates.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flanpy.errors import ConfigError, UsageError

DEFAULT_DIRECTORY: Final = Path("/var/lib/flanpy-store")
DEFAULT_URL: Final = "http://127.0.0.1:2379"
DEFAULT_QUOTA: Final = 2 << 30
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FILES: Final = ("cert-file", "key-file", "trusted-ca-file", "users-file", "ca-key-file")
_LEVELS: Final = ("debug", "info", "warning", "error")
_FORMATS: Final = ("auto", "json", "console")


@dataclass(frozen=True, slots=True)
class Listen:
    """One address to serve at."""

    host: str
    port: int
    tls: bool

    @property
    def target(self) -> str:
        """Return the address as gRPC takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.target}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """All settings."""

    directory: Path
    listens: tuple[Listen, ...]
    cert_file: Path | None
    key_file: Path | None
    ca_file: Path | None
    users_file: Path | None
    ca_key_file: Path | None
    join_listens: tuple[Listen, ...]
    quota: int
    history_s: float
    backups: int
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class StoreOption:
    """One option: its flag, its place in help and reference, and its default as text."""

    flag: str
    metavar: str
    default: str
    meaning: str

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return "FLANPY_STORE_" + self.flag.upper().replace("-", "_")


OPTIONS: Final = (
    StoreOption("data-dir", "DIR", str(DEFAULT_DIRECTORY), "directory of the file, its lock and its backups"),
    StoreOption(
        "listen-client-urls",
        "URL,...",
        DEFAULT_URL,
        "addresses to serve at; http:// on loopback only, https:// with a certificate",
    ),
    StoreOption("cert-file", "FILE", "", "certificate that is shown to clients, PEM"),
    StoreOption("key-file", "FILE", "", "its key, PEM"),
    StoreOption("trusted-ca-file", "FILE", "", "authority that must have signed a client's certificate, PEM"),
    StoreOption(
        "users-file",
        "FILE",
        "",
        "users with passwords and prefixes, TOML; none: every client that TLS lets in",
    ),
    StoreOption(
        "listen-join-urls",
        "URL,...",
        "",
        "https:// addresses at which hosts join by token; with one set only members' certificates count",
    ),
    StoreOption(
        "ca-key-file", "FILE", "", "key of the authority, by which hosts that join get certificates, PEM"
    ),
    StoreOption(
        "quota-backend-bytes", "N", str(DEFAULT_QUOTA), "size of the file at which writes are refused"
    ),
    StoreOption("history", "TIME", "1h", "how long old revisions are kept: 30m, 1h, 2d"),
    StoreOption("backups", "N", "7", "daily backups kept in the data directory; 0: none is made"),
    StoreOption("log-level", "LEVEL", "info", f"lowest level of log lines: {', '.join(_LEVELS)}"),
    StoreOption("log-format", "FORMAT", "auto", f"form of log lines: {', '.join(_FORMATS)}"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message}: see flanpy-store --help")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    built = _Parser(
        prog="flanpy-store",
        description="Serve etcd's v3 API from one SQLite file: one copy, for clusters that need no etcd of their own.",
        epilog="Each option may stand in the environment too: FLANPY_STORE_DATA_DIR and so on. A flag counts more.",
        allow_abbrev=False,
    )
    for option in OPTIONS:
        default = f" (default {option.default})" if option.default else ""
        built.add_argument(f"--{option.flag}", metavar=option.metavar, help=option.meaning + default)
    built.add_argument(
        "--hash-password",
        action="store_true",
        help="read a password from standard input, print its hash for the users file, and exit",
    )
    built.add_argument("--version", action="store_true", help="print the version and exit")
    return built


def load(given: argparse.Namespace, environ: Mapping[str, str]) -> StoreSettings:
    """Return the settings in force. Raises `ConfigError`, which names the option and its value."""
    words = {option.flag: _word(option, given, environ) for option in OPTIONS}
    files = {name: _path(name, words[name], environ) for name in _FILES}
    settings = StoreSettings(
        directory=Path(words["data-dir"]),
        listens=tuple(_listen("listen-client-urls", url) for url in words["listen-client-urls"].split(",")),
        cert_file=files["cert-file"],
        key_file=files["key-file"],
        ca_file=files["trusted-ca-file"],
        users_file=files["users-file"],
        ca_key_file=files["ca-key-file"],
        join_listens=_joins(words["listen-join-urls"]),
        quota=_number("quota-backend-bytes", words["quota-backend-bytes"], least=1 << 20),
        history_s=_seconds(words["history"]),
        backups=_number("backups", words["backups"], least=0),
        log_level=_one_of("log-level", words["log-level"], _LEVELS),
        log_format=_one_of("log-format", words["log-format"], _FORMATS),
    )
    _check_tls(settings)
    return settings


def _word(option: StoreOption, given: argparse.Namespace, environ: Mapping[str, str]) -> str:
    flag = getattr(given, option.flag.replace("-", "_"))
    return str(flag if flag is not None else environ.get(option.variable, "") or option.default)


def _path(name: str, word: str, environ: Mapping[str, str]) -> Path | None:
    """Return the file that is set; else the credential of its name that the service manager hands over, if it does."""
    if word:
        return Path(word)
    handed = Path(environ.get("CREDENTIALS_DIRECTORY") or "/nowhere", f"flanpy-store.{name}")
    return handed if handed.is_file() else None


def _number(name: str, word: str, *, least: int) -> int:
    if not word.isascii() or not word.isdigit() or int(word) < least:
        raise ConfigError(f"{name} {word!r} is not a number from {least} on: correct it")
    return int(word)


def _seconds(word: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", word)
    if found is None:
        raise ConfigError(f"history {word!r} is no time such as 30m, 1h or 2d: correct it")
    return float(int(found[1]) * _UNITS[found[2]])


def _one_of(name: str, word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise ConfigError(f"{name} {word!r} is none of {', '.join(known)}: correct it")
    return word


def _joins(word: str) -> tuple[Listen, ...]:
    found = tuple(_listen("listen-join-urls", url) for url in word.split(",") if url.strip())
    if any(not listen.tls for listen in found):
        raise ConfigError(f"listen-join-urls {word!r} would take secrets without TLS: write https://")
    return found


def _listen(name: str, text: str) -> Listen:
    url = text.strip()
    wrong = ConfigError(f"{name}: {url!r} is no URL such as https://192.0.2.1:2379: correct it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    extra = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not host or not port or extra:
        raise wrong
    try:
        address = ip_address(host)
    except ValueError:
        raise ConfigError(f"{name}: {url!r} must have an IP address, not a name") from None
    if parts.scheme == "http" and not address.is_loopback:
        raise ConfigError(
            f"{name}: {url!r} would serve without TLS beyond this host: write https:// and set"
            " cert-file, key-file and trusted-ca-file"
        )
    return Listen(str(address), port, tls=parts.scheme == "https")


def _check_tls(settings: StoreSettings) -> None:
    files = {
        "cert-file": settings.cert_file,
        "key-file": settings.key_file,
        "trusted-ca-file": settings.ca_file,
    }
    missing = [name for name, path in files.items() if path is None]
    if missing and any(listen.tls for listen in (*settings.listens, *settings.join_listens)):
        raise ConfigError(f"an https:// address needs {' and '.join(missing)}: clients show certificates too")
    if settings.join_listens and settings.ca_key_file is None:
        raise ConfigError("listen-join-urls needs ca-key-file: hosts that join get certificates")
