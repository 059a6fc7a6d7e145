"""IAM for the emulated AWS: moto judges each call of a host by its signature and by the policy of the host's role.

moto checks no resource of a call by itself ("TODO add support for the Resource part"); its judge is asked here with
the resources that AWS's service authorization reference names for the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.exceptions import AccessDeniedError, AuthFailureError
from moto.iam.access_control import IAMRequest

ACCOUNT = "123456789012"
"""moto's own."""


def refusal(
    environ: Mapping[str, Any], body: bytes, values: Mapping[str, list[str]], region: str
) -> tuple[str, str]:
    """The code and the text with which AWS refuses this call; "" and "" if the caller may make it."""
    action = values.get("Action", [""])[0]
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    try:
        asked = IAMRequest(
            ACCOUNT, environ["REQUEST_METHOD"], environ["PATH_INFO"], {}, body, headers, action
        )
        asked.check_signature()
        for resource in _resources(values, region):
            asked.check_action_permitted(resource)
    except AuthFailureError as error:
        return "AuthFailure", str(error.message)
    except AccessDeniedError as error:
        hidden = "Encoded authorization failure message: c2VjcmV0"
        return (
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {error.message} {hidden}",
        )
    return "", ""


def _resources(values: Mapping[str, list[str]], region: str) -> Iterator[str]:
    kinds = {"RouteTableId": "route-table", "NetworkInterfaceId": "network-interface"}
    action = values.get("Action", [""])[0]
    named = "NetworkInterfaceId" if action == "ModifyNetworkInterfaceAttribute" else "RouteTableId"
    if action.startswith("Describe") or named not in values:
        yield "*"
    else:
        yield f"arn:aws:ec2:{region}:{ACCOUNT}:{kinds[named]}/{values[named][0]}"
