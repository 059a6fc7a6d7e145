"""The constraints between options, and those on the files that options name.

Errors are ConfigError with one line that names the options and their origins; warnings are lines for the log.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flanpy.config.options import BY_NAME
from flanpy.config.settings import Origin, Settings, is_loopback
from flanpy.errors import ConfigError

_LONGEST_SOCKET_DIR: Final = 80  # unix(7): 108 bytes for a socket's path with its name and the final NUL

_PAGE_FILES: Final = ("page-cert", "page-key", "page-token-file")


def checked(settings: Settings) -> Settings:
    """`settings` with derived values and warnings, or ConfigError."""
    _check_pairs(settings)
    _check_tls(settings)
    _check_password(settings)
    _check_page(settings)
    _check_run_dir(settings)
    _check_lease_list(settings)
    _check_encryption(settings)
    settings = _with_margin(settings)
    return dataclasses.replace(settings, warnings=(*settings.warnings, *_warnings(settings)))


def _named(settings: Settings, name: str) -> str:
    option = BY_NAME[name]
    value = "" if option.secret else f" {option.text(settings)}"
    return f"{name}{value} ({settings.origins[name]})"


def _check_pairs(settings: Settings) -> None:
    for first, second in (
        ("etcd-keyfile", "etcd-certfile"),
        ("etcd-username", "etcd-password"),
        ("page-key", "page-cert"),
    ):
        for one, other in ((first, second), (second, first)):
            if BY_NAME[one].of(settings) and not BY_NAME[other].of(settings):
                raise ConfigError(f"{_named(settings, one)} is useless without {other}: set both or neither")


def _check_tls(settings: Settings) -> None:
    for name in ("etcd-keyfile", "etcd-certfile", "etcd-cafile"):
        path = BY_NAME[name].of(settings)
        if path is None:
            continue
        if not settings.etcd.tls:
            raise ConfigError(
                f"{_named(settings, name)} is useless as {_named(settings, 'etcd-endpoints')} is not encrypted: "
                "use https:// endpoints or leave it out"
            )
        _check_readable(settings, name, path)


def _check_password(settings: Settings) -> None:
    """Refuse to send a password over a network in clear text, unless told to. Raises ConfigError."""
    etcd = settings.etcd
    if etcd.password and not etcd.tls and etcd.off_host and not etcd.plain_password:
        raise ConfigError(
            f"{_named(settings, 'etcd-password')} would go to {etcd.off_host[0]} in clear text: "
            "use https:// endpoints, or set etcd-plain-password where nobody else is on the way"
        )


def _check_page(settings: Settings) -> None:
    """Require TLS and a token of a page that is open to the network. Raises ConfigError."""
    listen = settings.page.listen
    if listen is None:
        return
    files = {name: BY_NAME[name].of(settings) for name in _PAGE_FILES}
    missing = [name for name, path in files.items() if path is None]
    if missing and not listen.host.is_loopback:
        raise ConfigError(
            f"{_named(settings, 'page-listen')} is open to the network: set {' and '.join(missing)}, "
            "listen on a loopback address, or say off"
        )
    for name, path in files.items():
        if path is not None:
            _check_readable(settings, name, path)


def _check_readable(settings: Settings, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(1)
    except OSError as cause:
        raise ConfigError(f"{_named(settings, name)} cannot be read: {cause.strerror}") from cause
    if not head:
        raise ConfigError(f"{_named(settings, name)} is empty")


def _check_run_dir(settings: Settings) -> None:
    if len(str(settings.run_dir.absolute()).encode()) > _LONGEST_SOCKET_DIR:
        raise ConfigError(
            f"{_named(settings, 'run-dir')} is too long for a socket in it: at most {_LONGEST_SOCKET_DIR} bytes"
        )


def _check_lease_list(settings: Settings) -> None:
    place, cafile = settings.leases.place, settings.leases.cafile
    if cafile is not None and not place.startswith("https://"):
        raise ConfigError(
            f"{_named(settings, 'leases-cafile')} is useless without an https:// URL in leases-from"
        )
    if cafile is not None:
        _check_readable(settings, "leases-cafile", cafile)
    if place.startswith("http://") and not is_loopback(urlsplit(place).hostname or ""):
        raise ConfigError(
            f"{_named(settings, 'leases-from')} would come unprotected over the network, and anyone on the"
            " way could redirect all packets: use https://"
        )
    if "://" in place and not place.startswith(("http://", "https://")):
        raise ConfigError(f"{_named(settings, 'leases-from')} is neither a path nor an https:// URL")


def _check_encryption(settings: Settings) -> None:
    if settings.encryption == "required" and settings.filter.backend == "off":
        raise ConfigError(
            f"{_named(settings, 'encryption')} needs rules of the packet filter, and"
            f" {_named(settings, 'filter-backend')} makes none: set it to auto"
        )


def _with_margin(settings: Settings) -> Settings:
    """flannel's margin of an hour must not outlive a shorter lease; one that was asked for is not bent."""
    name, ttl = "subnet-lease-renew-margin", settings.subnet_lease_ttl
    if settings.subnet_lease_renew_margin < ttl:
        return settings
    if settings.origins[name].source != "default":
        raise ConfigError(
            f"{_named(settings, name)} leaves nothing of {_named(settings, 'subnet-lease-ttl')}: choose a shorter one"
        )
    origins = {**settings.origins, name: Origin("default", "half of subnet-lease-ttl")}
    return dataclasses.replace(settings, subnet_lease_renew_margin=ttl / 2, origins=origins)


def _world_readable(path: Path) -> bool:
    with suppress(OSError):
        return bool(path.stat().st_mode & 0o004)
    return False


def _warnings(settings: Settings) -> list[str]:
    lines = []
    origin = settings.origins["etcd-password"]
    if settings.etcd.password and not settings.etcd.tls and settings.etcd.off_host:
        lines.append("etcd-password goes over the network in clear text: use https:// endpoints")
    if origin.source == "flag":
        lines.append(
            "etcd-password is in the process list for every user: use FLANPYD_ETCD_PASSWORD or the file"
        )
    if origin.source == "file" and settings.config and _world_readable(settings.config):
        lines.append(f"{settings.config} holds etcd-password and every user can read it: chmod o-r")
    without = [name for name in _PAGE_FILES if BY_NAME[name].of(settings) is not None]
    if without and settings.page.listen is None:
        lines.append(f"{_named(settings, without[0])} has no effect: page-listen is off")
    if settings.leases.place and settings.origins["etcd-endpoints"].source != "default":
        lines.append(f"{_named(settings, 'etcd-endpoints')} has no effect: the leases come from leases-from")
    token = settings.page.token_file
    if token is not None and settings.page.listen and _world_readable(token):
        lines.append(f"{token} holds the status page's token and every user can read it: chmod o-r")
    return lines
