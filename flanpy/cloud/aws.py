"""The EC2 API as a `port.Provider`: route tables of a VPC, and the network interface of this host.

botocore finds credentials by the SDK's own chain and signs; it is told to try each call once. One look costs two calls
whatever the number of hosts and tables: DescribeNetworkInterfaces and DescribeRouteTables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any, Final

from flanpy.cloud.metadata import AwsMetadata
from flanpy.cloud.port import CONNECT_S, READ_S, Calls, trouble
from flanpy.errors import CloudError, ConfigError
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
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )
except ImportError as error:
    raise ConfigError(f"the backend aws-vpc needs botocore ({error}): pip install 'flanpy[aws]'") from error

if TYPE_CHECKING:
    from botocore.client import BaseClient

ROUTES_PER_TABLE: Final = 50
"""AWS's quota for routes that are not propagated, unless raised."""

_FAULTS: Final = {
    "UnauthorizedOperation": CloudFault.DENIED,
    "AccessDenied": CloudFault.DENIED,
    "AccessDeniedException": CloudFault.DENIED,
    "RequestLimitExceeded": CloudFault.THROTTLED,
    "Throttling": CloudFault.THROTTLED,
    "ThrottlingException": CloudFault.THROTTLED,
    "ThrottledException": CloudFault.THROTTLED,
    "RequestThrottled": CloudFault.THROTTLED,
    "TooManyRequestsException": CloudFault.THROTTLED,
    "RouteLimitExceeded": CloudFault.FULL,
    "AuthFailure": CloudFault.CREDENTIALS,
    "InvalidClientTokenId": CloudFault.CREDENTIALS,
    "ExpiredToken": CloudFault.CREDENTIALS,
    "RequestExpired": CloudFault.CREDENTIALS,
    "SignatureDoesNotMatch": CloudFault.CREDENTIALS,
    "InvalidRouteTableID.NotFound": CloudFault.WRONG_TABLE,
    "InternalError": CloudFault.UNREACHABLE,
    "Unavailable": CloudFault.UNREACHABLE,
    "ServiceUnavailable": CloudFault.UNREACHABLE,
}
_SECRETIVE: Final = "the credentials are refused: see the instance's role, or AWS_ACCESS_KEY_ID and the like"


class AwsRoutes:
    """Implements `port.Provider`. `endpoint` "" is botocore's own choice (which AWS_ENDPOINT_URL_EC2 may change)."""

    def __init__(self, calls: Calls, *, endpoint: str = "") -> None:
        self._calls = calls
        self._endpoint = endpoint
        self._metadata = AwsMetadata(calls)
        self._made: BaseClient | None = None

    def host(self, address: IPv4Address) -> CloudHost:
        """Find the interface that has `address`, by metadata alone; then ask EC2 for its source/destination check."""
        self._metadata.open()
        interface, home = self._interface(address)
        said = self._call("DescribeNetworkInterfaces", NetworkInterfaceIds=[interface])
        found = said["NetworkInterfaces"][0]
        return CloudHost(interface, home, forwards=not found.get("SourceDestCheck", True))

    def _interface(self, address: IPv4Address) -> tuple[str, str]:
        macs = "network/interfaces/macs/"
        for mac in self._metadata.get(macs).split():
            at = f"{macs}{mac.strip('/')}"
            if str(address) in self._metadata.get(f"{at}/local-ipv4s").split():
                vpc, subnet = self._metadata.get(f"{at}/vpc-id"), self._metadata.get(f"{at}/subnet-id")
                return self._metadata.get(f"{at}/interface-id").strip(), f"{vpc.strip()}/{subnet.strip()}"
        text = f"no network interface of this instance has the underlay's address {address}: see --iface"
        raise self._calls.error(CloudFault.UNFIT, "imds", text)

    def tables(self, host: CloudHost) -> tuple[CloudTable, ...]:
        """Read all tables of the VPC; `own` is that of the host's subnet, else the main one."""
        vpc, _, subnet = host.home.partition("/")
        raw: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            said = self._call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc]}], **token)
            raw += said.get("RouteTables", [])
            if not said.get("NextToken"):
                break
            token = {"NextToken": said["NextToken"]}
        own = _associated(raw, lambda one: one.get("SubnetId") == subnet)
        own = own or _associated(raw, lambda one: bool(one.get("Main")))
        return tuple(_table(one, own=one["RouteTableId"] == own) for one in raw)

    def allow_forwarding(self, host: CloudHost) -> None:
        """Switch the source/destination check off."""
        self._call(
            "ModifyNetworkInterfaceAttribute",
            NetworkInterfaceId=host.target,
            SourceDestCheck={"Value": False},
        )

    def apply(self, op: CloudOp) -> None:
        where = {"RouteTableId": op.route.table, "DestinationCidrBlock": str(op.route.destination)}
        match op.verb:
            case CloudVerb.CREATE:
                self._call("CreateRoute", **where, NetworkInterfaceId=op.route.target)
            case CloudVerb.REPLACE:
                self._call("ReplaceRoute", **where, NetworkInterfaceId=op.route.target)
            case CloudVerb.DELETE:
                self._call("DeleteRoute", **where)

    def denied(self, host: CloudHost, tables: tuple[CloudTable, ...]) -> tuple[CloudTrouble, ...]:
        """Try the calls that only the future may need as AWS's dry runs."""
        where = {"RouteTableId": tables[0].id, "DestinationCidrBlock": "198.51.100.0/24"} if tables else {}
        tried: list[tuple[str, dict[str, Any]]] = [
            ("CreateRoute", {**where, "NetworkInterfaceId": host.target}),
            ("ReplaceRoute", {**where, "NetworkInterfaceId": host.target}),
            ("DeleteRoute", where),
            ("ModifyNetworkInterfaceAttribute",
             {"NetworkInterfaceId": host.target, "SourceDestCheck": {"Value": False}}),
        ]  # fmt: skip
        return tuple(found for name, values in tried if where and (found := self._dry(name, values)))

    def _dry(self, name: str, values: dict[str, Any]) -> CloudTrouble | None:
        try:
            self._call(name, **values, DryRun=True)
        except CloudError as error:
            return trouble(error) if error.fault == CloudFault.DENIED.value else None
        return None

    def _call(self, name: str, **values: Any) -> dict[str, Any]:
        """Raises CloudError with AWS's own text."""
        action = f"ec2:{name}"
        try:
            method = getattr(self._client(), _snake(name))
            said: dict[str, Any] = method(**values)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "DryRunOperation" or (name == "DeleteRoute" and code == "InvalidRoute.NotFound"):
                self._calls.ok(action)
                return {}
            fault = _FAULTS.get(code, CloudFault.REFUSED)
            message = str(error.response.get("Error", {}).get("Message", ""))
            text = _SECRETIVE if fault is CloudFault.CREDENTIALS else message
            raise self._calls.error(fault, action, f"{code}: {text}") from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise self._calls.error(CloudFault.CREDENTIALS, action, f"{error}: {_SECRETIVE}") from error
        except (BotoCoreError, HTTPClientError, ValueError) as error:
            raise self._calls.error(CloudFault.UNREACHABLE, action, str(error)) from error
        self._calls.ok(action)
        return said

    def _client(self) -> BaseClient:
        if self._made is None:
            session = botocore.session.get_session()
            region = session.get_config_variable("region") or self._metadata.get("placement/region").strip()
            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"total_max_attempts": 1, "mode": "standard"},
                user_agent_extra="flanpy",
            )
            endpoint = self._endpoint or os.environ.get("AWS_ENDPOINT_URL_EC2") or None
            self._made = session.create_client(
                "ec2", region_name=region, config=config, endpoint_url=endpoint
            )
        return self._made


def _associated(tables: list[dict[str, Any]], fits: Callable[[dict[str, Any]], bool]) -> str:
    """The table that one of its associations `fits`; "" if there is none."""
    return next((one["RouteTableId"] for one in tables if any(map(fits, one.get("Associations", [])))), "")


def _table(raw: dict[str, Any], *, own: bool) -> CloudTable:
    size = sum(one.get("Origin") != "EnableVgwRoutePropagation" for one in raw.get("Routes", []))
    return CloudTable(raw["RouteTableId"], tuple(_routes(raw)), size, ROUTES_PER_TABLE, own=own)


def _routes(raw: dict[str, Any]) -> Iterator[CloudRoute]:
    for one in raw.get("Routes", []):
        text = one.get("DestinationCidrBlock")
        if text and one.get("Origin") != "EnableVgwRoutePropagation":
            dead = one.get("State") == "blackhole"
            yield CloudRoute(
                raw["RouteTableId"], IPv4Network(text), one.get("NetworkInterfaceId") or "", dead
            )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
