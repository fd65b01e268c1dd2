"""Pods that may go while a test tells them something: Kubernetes may have replaced them since they were listed."""

from collections.abc import Iterator
from contextlib import contextmanager

from gco_stream.local.errors import KubeError


@contextmanager
def unless_gone() -> Iterator[None]:
    """Nothing happens to one that is not there any more."""
    try:
        yield
    except KubeError as error:
        if error.status != 404:
            raise
