"""The permissions that a cloud provider must give this host, as text: an IAM policy for AWS, a role for GCE.

Held to the calls that the clients make (`tests/cloud/test_permissions.py`), and shown in the how-tos as it is here.
"""

from __future__ import annotations

import json
from typing import Final

from flanpy.model.cloud import AWS

IAM_POLICY: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "FlanpyReads",
                "Effect": "Allow",
                "Action": ["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"],
                "Resource": "*",
            },
            {
                "Sid": "FlanpyWrites",
                "Effect": "Allow",
                "Action": [
                    "ec2:CreateRoute",
                    "ec2:DeleteRoute",
                    "ec2:ModifyNetworkInterfaceAttribute",
                    "ec2:ReplaceRoute",
                ],
                "Resource": ["arn:aws:ec2:*:*:route-table/*", "arn:aws:ec2:*:*:network-interface/*"],
            },
        ],
    },
    indent=2,
)

GCE_ROLE: Final = """\
title: flanpy
description: what flanpyd's hosts do with routes
stage: GA
includedPermissions:
- compute.globalOperations.get
- compute.instances.get
- compute.instances.use
- compute.networks.updatePolicy
- compute.routes.create
- compute.routes.delete
- compute.routes.list
"""


def needed(backend: str) -> str:
    """The policy or role that lets a host of this backend do all that flanpyd may need."""
    if backend == AWS:
        return f"the IAM policy of the instance's role must hold:\n{IAM_POLICY}"
    return f"the custom role of the instance's service account must hold:\n{GCE_ROLE}"
