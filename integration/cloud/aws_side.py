"""The test's side of the emulated AWS: sets up a VPC, makes it fail, reads its tables by a client of its own."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session

from integration.cloud.aws_end import REGION

SEGMENTS = (99, 98, 97)
"""Of a lab: 10.99.0.0/16 and so on. The VPC has each of them, as a subnet."""


_HOW_TO = Path(__file__).parents[2] / "docs" / "howto" / "aws-routes.md"
_ROLE = "flanpy"


@cache
def _client(endpoint: str, service: str) -> Any:
    session = botocore.session.Session()
    session.set_credentials("lab", "lab")
    return session.create_client(service, region_name=REGION, endpoint_url=endpoint)


@cache
def policy() -> str:
    """The IAM policy as an operator copies it from the how-to."""
    found = re.search(r"```json\n(.*?)```", _HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def without(denied: Iterable[str]) -> str:
    """Return the policy less these actions of EC2."""
    document = json.loads(policy())
    for statement in document["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one.removeprefix("ec2:") not in denied]
    return json.dumps(document)


class AwsSide:
    """A client of the emulated AWS: `where` is the server's address and port; `secrets` are what no log may show.

    Hosts have the credentials of a role with the how-to's policy.
    """

    def __init__(self, where: tuple[str, int]) -> None:
        self._where = where
        self.endpoint = f"http://{where[0]}:{where[1]}"
        self.ec2 = _client(self.endpoint, "ec2")
        self._iam = _client(self.endpoint, "iam")
        self._granted = ""
        self._credentials = self._assume()
        self.secrets = (self._credentials["secret"], self._credentials["token"])
        cidrs = [f"10.{number}.0.0/16" for number in SEGMENTS]
        self.vpc = self.ec2.create_vpc(CidrBlock=cidrs[0])["Vpc"]["VpcId"]
        for cidr in cidrs[1:]:
            self.ec2.associate_vpc_cidr_block(VpcId=self.vpc, CidrBlock=cidr)
        self.subnets = {cidr.rpartition(".0.0")[0]: self.new_subnet(cidr) for cidr in cidrs}
        self.subnet = self.subnets["10.99"]
        self.main = self.tables()[0]["RouteTableId"]

    def _assume(self) -> dict[str, str]:
        roles = {one["RoleName"]: one["Arn"] for one in self._iam.list_roles()["Roles"]}
        if _ROLE not in roles:
            made = self._iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument="{}")
            roles[_ROLE] = made["Role"]["Arn"]
        self._grant(without(()))
        sts = _client(self.endpoint, "sts")
        found = sts.assume_role(RoleArn=roles[_ROLE], RoleSessionName="lab")["Credentials"]
        return {
            "key": found["AccessKeyId"],
            "secret": found["SecretAccessKey"],
            "token": found["SessionToken"],
        }

    def _grant(self, document: str) -> None:
        if document != self._granted:
            self._iam.put_role_policy(RoleName=_ROLE, PolicyName=_ROLE, PolicyDocument=document)
            self._granted = document

    def new_subnet(self, cidr: str) -> str:
        """One more subnet of the VPC."""
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def new_table(self, subnet: str = "") -> str:
        """One more route table, associated with a subnet if one is named."""
        table = str(self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"])
        if subnet:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return table

    def add_host(self, address: str, *, called: str = "", **more: str) -> str:
        """An interface with this address; `called` is the path by which it asks for its metadata. Returns its id."""
        subnet = self.subnets[".".join(address.split(".")[:2])]
        made = self.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)
        found = made["NetworkInterface"]
        host = {
            "interface": found["NetworkInterfaceId"], "mac": found["MacAddress"], "address": address,
            "subnet": subnet, "vpc": self.vpc, **self._credentials, **more,
        }  # fmt: skip
        self.post("hosts", {called or address: host})
        return str(found["NetworkInterfaceId"])

    def post(self, what: str, value: Mapping[str, Any]) -> dict[str, int]:
        """Send the faults to the server; return its counts of calls."""
        connection = http.client.HTTPConnection(*self._where, timeout=10)
        connection.request("POST", f"/lab/{what}", json.dumps(value))
        said: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return said

    def fail(self, **faults: Any) -> None:
        """Put exactly these faults in force from now on; none named, none in force.

        `deny` are actions of EC2 that the role's policy then lacks, `policy` is another policy.
        """
        self._grant(faults.pop("policy", "") or without(faults.pop("deny", ())))
        self.post("faults", faults)

    def calls(self) -> dict[str, int]:
        """Counts of calls by action and outcome."""
        return self.post("counts", {})

    def tables(self) -> list[dict[str, Any]]:
        said = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        found: list[dict[str, Any]] = said["RouteTables"]
        return found

    def routes(self, table: str = "") -> dict[str, str]:
        """Destination and interface of a table's routes to interfaces."""
        wanted = table or self.main
        return {
            route["DestinationCidrBlock"]: route["NetworkInterfaceId"]
            for one in self.tables() if one["RouteTableId"] == wanted
            for route in one["Routes"] if "NetworkInterfaceId" in route
        }  # fmt: skip

    def checks(self, interface: str) -> bool:
        """Report whether an interface's source/destination check is on."""
        said = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])
        return bool(said["NetworkInterfaces"][0]["SourceDestCheck"])

    def may_forward(self, target: str, *, allowed: bool) -> None:
        """Switch an interface's source/destination check."""
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=target, SourceDestCheck={"Value": not allowed}
        )

    def put(self, destination: str, interface: str, table: str = "") -> None:
        """A route made by hand, or by flannel."""
        where = {"RouteTableId": table or self.main, "DestinationCidrBlock": destination}
        self.ec2.create_route(**where, NetworkInterfaceId=interface)

    def delete(self, destination: str, table: str = "") -> None:
        """A route removed by hand."""
        self.ec2.delete_route(RouteTableId=table or self.main, DestinationCidrBlock=destination)
