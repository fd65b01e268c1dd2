"""Releases the Lease of a killed program."""

from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.settings import LEASE_NAME


def release_lease(kube: KubeApi, namespace: str) -> None:
    """Releases the Lease of a killed program as a clean shutdown does, so that the next one need not wait for expiry.

    Tests can therefore kill programs whose leases are long enough to survive a stalled machine.
    """
    path = path_of("Lease", namespace, LEASE_NAME)
    if kube.find(path) is not None:
        kube.patch(path, {"spec": {"holderIdentity": "", "renewTime": None}})
