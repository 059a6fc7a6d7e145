"""One status of all providers, while a network moves from one to another."""

from __future__ import annotations

from types import MappingProxyType

from flanpy.daemon.cloud.told import told
from flanpy.model.cloud import AWS, GCE, CloudFault, CloudStatus, CloudTrouble

TROUBLE = CloudTrouble(CloudFault.DENIED, "ec2:DeleteRoute", "no")


def test_status_is_that_of_the_networks_backend_unless_only_another_provider_has_trouble() -> None:
    calls = MappingProxyType({("x", "ok"): 1})
    aws, gce = (
        CloudStatus(AWS, calls=calls),
        CloudStatus(GCE, calls=calls, changes=MappingProxyType({"create": 2})),
    )
    both = told({AWS: aws, GCE: gce}, GCE)
    assert both is not None
    assert (both.backend, dict(both.calls), dict(both.changes)) == (GCE, {("x", "ok"): 2}, {"create": 2})
    ill = CloudStatus(AWS, trouble=TROUBLE)
    assert (told({AWS: ill, GCE: gce}, GCE) or gce).backend == AWS
    worse = CloudStatus(GCE, trouble=TROUBLE)
    assert (told({AWS: ill, GCE: worse}, GCE) or aws).backend == GCE
    assert (told({AWS: ill}, "vxlan") or gce).trouble == TROUBLE
    assert told({}, AWS) is None
