"""Removes one route under a claim in etcd, for the keeper and for `flanpyctl cleanup`."""

from __future__ import annotations

from flanpy.cloud.beside import beside
from flanpy.cloud.port import Provider, Registry
from flanpy.errors import CloudError
from flanpy.model.cloud import CloudFault, CloudOp, CloudRoute, CloudVerb


async def remove_claimed(
    provider: Provider, registry: Registry, route: CloudRoute, *, forget: bool = True
) -> bool:
    """Delete a route whose subnet no other host leases; says whether it did. Raises CloudError, StoreError.

    `forget`: the record of the route goes with it. While the provider may still delete (it did not answer, or nobody
    waits for its answer any more), the claim stays until it runs out: the subnet's next owner must not be met.
    """
    subnet = route.destination
    if not await registry.claim(subnet):
        return False
    try:
        await beside(lambda: provider.apply(CloudOp(CloudVerb.DELETE, route, route)))
    except CloudError as error:
        if error.fault != CloudFault.UNREACHABLE.value:
            await registry.release(subnet)
        raise
    try:
        if forget:
            await registry.remove(subnet)
    finally:
        await registry.release(subnet)
    return True
