"""The Lease in the hands of somebody who knows that its holder is dead."""

from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.settings import LEASE_NAME


def release_lease(kube: KubeApi, namespace: str) -> None:
    """Releases the Lease for a program that was killed, as it would have: the next need not wait until it has run out.

    So a test may kill programs whose leases are long enough for a machine that stands still for a time.
    """
    path = path_of("Lease", namespace, LEASE_NAME)
    if kube.find(path) is not None:
        kube.patch(path, {"spec": {"holderIdentity": "", "renewTime": None}})
