"""The test's side of the emulated Compute Engine: sets up hosts, makes it fail, reads its routes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from integration.cloud.gce_end import PROJECT, TOKEN, ZONE


class GceSide:
    """A client of the emulated Compute Engine: `where` is the server's address and port. As `AwsSide`, a host's
    `target` is what a route to it leads to."""

    secrets = (TOKEN,)

    def __init__(self, where: tuple[str, int]) -> None:
        self._where = where
        self.endpoint = f"http://{where[0]}:{where[1]}/compute/v1"

    def _post(self, what: str, value: Mapping[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*self._where, timeout=10)
        connection.request("POST", f"/lab/{what}", json.dumps(value))
        said: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return said

    def add_host(self, address: str, *, called: str) -> str:
        """Add an instance; returns its target."""
        self._post("hosts", {"name": called, "address": address})
        return f"projects/{PROJECT}/zones/{ZONE}/instances/{called}"

    def may_forward(self, target: str, *, allowed: bool) -> None:
        """Set canIpForward of an instance."""
        self._post("forwards", {"name": target.rpartition("/")[2], "allowed": allowed})

    def fail(self, **faults: Any) -> None:
        """Put exactly these faults in force from now on; none named, none in force. `deny` are permissions."""
        self._post("faults", faults)

    def calls(self) -> dict[str, int]:
        """Counts of calls by method and outcome."""
        found: dict[str, int] = self._post("state", {})["calls"]
        return found

    def violations(self) -> list[str]:
        """Requests that Google's discovery document does not know."""
        found: list[str] = self._post("state", {})["violations"]
        return found

    def routes(self) -> dict[str, str]:
        """Destination and target of all routes."""
        return {
            one["destRange"]: f"projects/{one['nextHopInstance'].rpartition('projects/')[2]}"
            for one in self._post("state", {})["routes"].values()
        }

    def put(self, destination: str, target: str) -> None:
        """A route as flannel made it."""
        self._post(
            "put",
            {"destination": destination, "host": target.rpartition("/")[2], "name": name_of(destination)},
        )

    def delete(self, destination: str) -> None:
        """A route removed by hand."""
        self._post("delete", {"name": name_of(destination)})


def name_of(destination: str) -> str:
    """Name a route as flannel did."""
    return f"flannel-{destination.replace('.', '-').replace('/', '-')}"
