"""The Compute Engine API as a `port.Provider`: routes are resources of a project's network.

google-auth finds credentials by Google's own chain; the calls are plain REST on one session of it. A write is an
*operation*, which is waited for. Routes are called as flannel called them: `flannel-10-40-5-0-24`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from flanpy.cloud.metadata import GceMetadata
from flanpy.cloud.port import CONNECT_S, READ_S, Calls
from flanpy.errors import MALFORMED, ConfigError
from flanpy.model.cloud import (
    CloudFault,
    CloudHost,
    CloudOp,
    CloudRoute,
    CloudTable,
    CloudTrouble,
    CloudVerb,
)

try:
    import google.auth
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession, Request
except ImportError as error:
    raise ConfigError(f"the backend gce needs google-auth ({error}): pip install 'flanpy[gce]'") from error

API: Final = "https://compute.googleapis.com/compute/v1"
OVERRIDE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
SCOPE: Final = "https://www.googleapis.com/auth/compute"
PRIORITY: Final = 1000
"""Of a route, as flannel and the console set it."""

OPERATION_S: Final = 45.0
"""Patience with one operation; most take a few seconds."""

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
_GONE: Final = "NEXT_HOP_INSTANCE_NOT_FOUND"
_FAULTS: Final = {
    "rateLimitExceeded": CloudFault.THROTTLED,
    "userRateLimitExceeded": CloudFault.THROTTLED,
    "quotaExceeded": CloudFault.FULL,
    "QUOTA_EXCEEDED": CloudFault.FULL,
    "LIMIT_EXCEEDED": CloudFault.FULL,
    "limitExceeded": CloudFault.FULL,
    "RATE_LIMIT_EXCEEDED": CloudFault.THROTTLED,
    "PERMISSIONS_ERROR": CloudFault.DENIED,
}
_STATUSES: Final = {
    HTTPStatus.UNAUTHORIZED: CloudFault.CREDENTIALS,
    HTTPStatus.FORBIDDEN: CloudFault.DENIED,
    HTTPStatus.TOO_MANY_REQUESTS: CloudFault.THROTTLED,
}


class GceRoutes:
    """Implements `port.Provider`. `endpoint` "" is Google's own, or that of gcloud's variable for it."""

    def __init__(self, calls: Calls, *, endpoint: str = "") -> None:
        self._calls = calls
        self._api = (endpoint or os.environ.get(OVERRIDE) or API).rstrip("/")
        self._metadata = GceMetadata(calls)
        self._project = ""
        self._made: AuthorizedSession | None = None

    def host(self, address: IPv4Address) -> CloudHost:
        """Find instance and network by metadata alone; then ask Compute Engine whether it may forward."""
        self._project = self._metadata.get("project/project-id").strip()
        zone = self._metadata.get("instance/zone").strip().rpartition("/")[2]
        name = self._metadata.get("instance/name").strip()
        network = self._network(address)
        instance = f"projects/{self._project}/zones/{zone}/instances/{name}"
        said = self._call("instances.get", "GET", f"{self._api}/{instance}")
        return CloudHost(instance, network, forwards=bool(said.get("canIpForward")))

    def _network(self, address: IPv4Address) -> str:
        text = self._metadata.get("instance/network-interfaces/?recursive=true")
        try:
            found = [str(one.get("network", "")) for one in json.loads(text) if one.get("ip") == str(address)]
        except MALFORMED as error:
            said = f"network-interfaces answered {text[:80]!r}, which is no list of interfaces"
            raise self._calls.error(CloudFault.REFUSED, "metadata", said) from error
        if found:
            return found[0].rpartition("/")[2]
        text = f"no network interface of this instance has the underlay's address {address}: see --iface"
        raise self._calls.error(CloudFault.UNFIT, "metadata", text)

    def tables(self, host: CloudHost) -> tuple[CloudTable, ...]:
        """Read all routes of the network, as one table: those whose name is an overlay's, and static ones."""
        routes: list[Mapping[str, Any]] = []
        token = ""
        while True:
            more = {"pageToken": token} if token else {}
            said = self._call("routes.list", "GET", self._routes, params=more)
            routes += [one for one in said.get("items", []) if _last(one.get("network")) == host.home]
            token = said.get("nextPageToken", "")
            if not token:
                break
        static = [one for one in routes if "nextHopNetwork" not in one and "nextHopPeering" not in one]
        return (CloudTable(host.home, tuple(_read(static, host.home)), len(static), 0, own=True),)

    @property
    def _routes(self) -> str:
        return f"{self._api}/projects/{self._project}/global/routes"

    def allow_forwarding(self, host: CloudHost) -> None:
        """Raises CloudError: canIpForward is set by a person."""
        text = (
            f"canIpForward of {_last(host.target)} is off, so that the network drops what containers send and receive: "
            "make the instance with --can-ip-forward"
        )
        raise self._calls.error(CloudFault.UNFIT, "instances.get", text)

    def apply(self, op: CloudOp) -> None:
        if op.verb is not CloudVerb.CREATE and op.previous is not None:
            name = op.previous.name or route_name(op.previous.destination)
            said = self._call("routes.delete", "DELETE", f"{self._routes}/{name}", gone_is_ok=True)
            self._done("routes.delete", said)
        if op.verb is not CloudVerb.DELETE:
            route = {
                "name": route_name(op.route.destination),
                "description": "made by flanpy for the host that leases this subnet",
                "destRange": str(op.route.destination),
                "network": f"projects/{self._project}/global/networks/{op.route.table}",
                "nextHopInstance": op.route.target,
                "priority": PRIORITY,
                "tags": [],
            }
            self._done("routes.insert", self._call("routes.insert", "POST", self._routes, body=route))

    def denied(self, host: CloudHost, tables: tuple[CloudTable, ...]) -> tuple[CloudTrouble, ...]:
        """Nothing: Compute Engine has no call that tries without doing, and names the permission when it refuses."""
        return ()

    def _done(self, action: str, operation: Mapping[str, Any]) -> None:
        """Wait for an operation. Raises CloudError."""
        deadline = time.monotonic() + OPERATION_S
        pauses = iter(_PAUSES)
        while operation and operation.get("status") != "DONE":
            if time.monotonic() > deadline:
                text = (
                    f"operation {operation.get('name')} is {operation.get('status')} after {OPERATION_S:g} s"
                )
                raise self._calls.error(CloudFault.UNREACHABLE, action, text)
            time.sleep(next(pauses, _PAUSES[-1]))
            url = f"{self._api}/projects/{self._project}/global/operations/{operation['name']}"
            operation = self._call("globalOperations.get", "GET", url)
        failures = (operation.get("error") or {}).get("errors") or []
        if failures and failures[0].get("code") != "RESOURCE_NOT_FOUND":
            code, text = str(failures[0].get("code")), str(failures[0].get("message"))
            raise self._calls.error(_FAULTS.get(code, CloudFault.REFUSED), action, f"{code}: {text}")

    def _call(
        self,
        action: str,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        gone_is_ok: bool = False,
    ) -> Mapping[str, Any]:
        """Raises CloudError with Google's own text."""
        try:
            answer = self._session().request(  # type: ignore[no-untyped-call]
                method,
                url,
                params=params,
                json=body,
                timeout=(CONNECT_S, READ_S),
                max_allowed_time=2 * READ_S,
            )
            said = answer.json() if answer.content else {}
        except GoogleAuthError as error:
            raise self._calls.error(CloudFault.CREDENTIALS, action, str(error)) from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise self._calls.error(CloudFault.UNREACHABLE, action, str(error)) from error
        if answer.status_code == HTTPStatus.NOT_FOUND and gone_is_ok:
            self._calls.ok(action)
            return {}
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise self._calls.error(*_refused(action, answer.status_code, said))
        self._calls.ok(action)
        return said if isinstance(said, dict) else {}

    def _session(self) -> AuthorizedSession:
        if self._made is None:
            credentials, _ = google.auth.default(scopes=[SCOPE], request=Request())
            self._made = AuthorizedSession(credentials, max_refresh_attempts=1)  # type: ignore[no-untyped-call]
            self._made.mount(self._api, requests.adapters.HTTPAdapter(max_retries=0))
        return self._made


def route_name(destination: IPv4Network) -> str:
    """The name of the route to one host's subnet, which is flannel's."""
    return f"flannel-{str(destination).replace('.', '-').replace('/', '-')}"


def _refused(action: str, status: int, said: object) -> tuple[CloudFault, str, str]:
    error = said.get("error") if isinstance(said, dict) else None
    error = error if isinstance(error, dict) else {}
    reasons = [str(one.get("reason")) for one in error.get("errors") or [] if isinstance(one, dict)]
    known = next((_FAULTS[reason] for reason in reasons if reason in _FAULTS), None)
    fault = CloudFault.UNREACHABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else CloudFault.REFUSED
    fault = known or _STATUSES.get(HTTPStatus(status), fault)
    return fault, action, f"{reasons[0] if reasons else status}: {error.get('message') or 'no text'}"


def _read(raw: list[Mapping[str, Any]], network: str) -> Iterator[CloudRoute]:
    for one in raw:
        text = str(one.get("destRange", ""))
        if ":" in text or not text:
            continue
        destination, name = IPv4Network(text), str(one.get("name", ""))
        instance = str(one.get("nextHopInstance", ""))
        target = f"projects/{instance.rpartition('projects/')[2]}" if instance else ""
        dead = any(warning.get("code") == _GONE for warning in one.get("warnings", []))
        yield CloudRoute(network, destination, target, dead, name == route_name(destination), name)


def _last(path: object) -> str:
    return str(path or "").rpartition("/")[2]
