"""A daemon's reports on its backend and peers, by its control socket: no process for each of many looks."""

from __future__ import annotations

from typing import Any

from integration.lab import Host, LabError
from tests.lab.daemon_side import get


def status(host: Host) -> dict[str, Any]:
    """The daemon's `/v1/status`."""
    return _said(host, "/v1/status")


def condition(host: Host, kind: str) -> dict[str, Any]:
    """Return one of the daemon's conditions."""
    found: dict[str, Any] = next(c for c in status(host)["conditions"] if c["type"] == kind)
    return found


def moving_from(host: Host) -> str | None:
    """The backend that it still keeps beside the network's."""
    found: str | None = status(host)["backend"]["moving_from"]
    return found


def rows(host: Host) -> dict[str, dict[str, Any]]:
    """Return the daemon's row for every lease, by node id."""
    return {row["node_id"]: row for row in _said(host, "/v1/subnets")["subnets"]}


def _said(host: Host, resource: str) -> dict[str, Any]:
    code, found = get(host.daemon.run_dir / "flanpyd.sock", resource)
    if code != 200:
        raise LabError(f"{host.name}: {resource} answered {code}")
    answer: dict[str, Any] = found
    return answer
