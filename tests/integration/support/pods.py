"""Pods that may go while a test tells them something: Kubernetes may have replaced them since they were listed."""

from collections.abc import Iterator
from contextlib import contextmanager

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from tests.integration.conftest import World


@contextmanager
def unless_gone() -> Iterator[None]:
    """Nothing happens to one that is not there any more."""
    try:
        yield
    except KubeError as error:
        if error.status != 404:
            raise


def tell_pods(world: World, ready: str, name: str = "chat", *, all_but: int = 0) -> None:
    """Makes the pods of a Deployment ready ("true") or not ("false"), except the first `all_but` of them."""
    for _, pod in sorted(world.pods(name).items())[all_but:]:
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        with unless_gone():
            world.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": ready}}})
