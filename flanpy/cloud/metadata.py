"""The metadata services of both providers: plain HTTP on an address of the link, never through a proxy.

AWS is asked by version 2 of its protocol only (a token first), for hosts that refuse version 1.
"""

from __future__ import annotations

import http.client
import os
from urllib.parse import urlsplit

from flanpy.cloud.port import CONNECT_S, Calls
from flanpy.model.cloud import CloudFault

TOKEN_S = 300
"""Seconds that a token of AWS lives; one look takes a fraction of one."""

_LARGEST = 1 << 16


class Metadata:
    """`action` names the service in errors and metrics; `cure` goes into the error of one that does not answer."""

    def __init__(self, endpoint: str, calls: Calls, *, action: str, cure: str) -> None:
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        self._where = (parts.hostname or "", parts.port or 80)
        self._below = parts.path.rstrip("/")
        self._calls = calls
        self._action = action
        self._cure = cure

    def get(self, path: str, headers: dict[str, str], *, method: str = "GET") -> str:
        """Raises CloudError."""
        host, port = self._where
        connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        try:
            connection.request(method, f"{self._below}{path}", headers=headers)
            answer = connection.getresponse()
            text = answer.read(_LARGEST).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            text = f"{host}:{port} does not answer ({str(error) or type(error).__name__}): {self._cure}"
            raise self._calls.error(CloudFault.UNREACHABLE, self._action, text) from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            fault = CloudFault.THROTTLED if answer.status in {429, 503} else CloudFault.REFUSED
            raise self._calls.error(fault, self._action, f"{path} answered {answer.status}: {self._cure}")
        self._calls.ok(self._action)
        return text


class AwsMetadata:
    """AWS's: `get` takes paths below /latest/meta-data/."""

    def __init__(self, calls: Calls) -> None:
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
        cure = "is this an EC2 instance whose metadata options let IMDSv2 in?"
        self._metadata = Metadata(endpoint, calls, action="imds", cure=cure)
        self._token = ""

    def open(self) -> None:
        """Ask for a new token."""
        wanted = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
        self._token = self._metadata.get("/latest/api/token", wanted, method="PUT")

    def get(self, path: str) -> str:
        """Raises CloudError."""
        return self._metadata.get(f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})


class GceMetadata:
    """GCE's: `get` takes paths below /computeMetadata/v1/."""

    def __init__(self, calls: Calls) -> None:
        endpoint = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self._metadata = Metadata(
            endpoint, calls, action="metadata", cure="is this an instance of Compute Engine?"
        )

    def get(self, path: str) -> str:
        """Raises CloudError."""
        return self._metadata.get(f"/computeMetadata/v1/{path}", {"Metadata-Flavor": "Google"})
