"""The connection to etcd: the settings, and the parsing of endpoints.

Owns the endpoint syntax. Must not import grpc: the configuration is read by commands that never connect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from flanpy.errors import ConfigError
from flanpy.store.endpoint import Endpoint
from flanpy.store.head import Head

DEFAULT_PORT = 2379


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """etcd's endpoints and our credentials. `timeout` is the deadline of one request, in seconds.

    A `ca_file` alone verifies the server; `cert_file` and `key_file` come together and identify us to it.
    A store that `expected` outranks is refused: it was replaced.
    """

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 3.0
    expected: Head | None = None

    @property
    def tls_files(self) -> tuple[Path, ...]:
        """Return the files that are set, in a fixed order."""
        return tuple(path for path in (self.ca_file, self.cert_file, self.key_file) if path is not None)


def parse_endpoints(settings: EtcdSettings) -> tuple[Endpoint, ...]:
    """Return the endpoints of `settings`, in order, each once. Raises `ConfigError` naming the wrong one.

    Without a scheme an endpoint speaks TLS exactly if any TLS file is set, as etcdctl has it.
    """
    if not settings.endpoints:
        raise ConfigError("no etcd endpoint given: set etcd-endpoints, e.g. http://127.0.0.1:2379")
    if (settings.cert_file is None) != (settings.key_file is None):
        raise ConfigError("etcd-certfile and etcd-keyfile belong together: set both, or neither")
    tls = bool(settings.tls_files)
    return tuple(dict.fromkeys(parse_endpoint(text.strip(), tls=tls) for text in settings.endpoints))


def parse_endpoint(text: str, *, tls: bool) -> Endpoint:
    """Parse `http://host:port`, `https://host:port` or `host:port`; `tls` decides if there is no scheme."""
    try:
        url = urlsplit(text if "://" in text else f"//{text}")
        port = url.port or DEFAULT_PORT
    except ValueError as error:
        raise _unusable(text, str(error)) from error
    _check(url, text)
    assert url.hostname is not None
    return Endpoint(url.hostname, port, tls if not url.scheme else url.scheme == "https")


def _check(url: SplitResult, text: str) -> None:
    if url.scheme not in {"", "http", "https"}:
        raise _unusable(text, f"unknown scheme {url.scheme!r}")
    if url.username is not None or url.password is not None:
        raise _unusable(text.rpartition("@")[2], "credentials do not belong here, set etcd-username")
    if not url.hostname:
        raise _unusable(text, "no host")
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise _unusable(text, "nothing may follow the port")


def _unusable(text: str, reason: str) -> ConfigError:
    return ConfigError(f"etcd endpoint {text!r} cannot be used ({reason}): write it as http://host:2379")
