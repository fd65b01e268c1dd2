"""Changes pods that Kubernetes may have replaced since they were listed."""

from collections.abc import Iterator
from contextlib import contextmanager

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.world import World


@contextmanager
def unless_gone() -> Iterator[None]:
    """Ignores the error for an object that does not exist any more."""
    try:
        yield
    except KubeError as error:
        if error.status != 404:
            raise


def tell_pods(world: World, ready: str, name: str = "chat", *, all_but: int = 0) -> None:
    """Makes the pods of a Deployment ready ("true") or unready ("false"), except the first `all_but`."""
    for _, pod in sorted(world.pods(name).items())[all_but:]:
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        with unless_gone():
            world.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": ready}}})
