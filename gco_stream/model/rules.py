"""What has to hold between the fields of an item, once each of them can be read."""

from collections.abc import Iterator

from gco_stream.model import names
from gco_stream.model.errors import Problem
from gco_stream.model.resources import resource_problems
from gco_stream.model.scalars import is_url_path
from gco_stream.model.spec import ROOT_PATH, EndpointSpec
from gco_stream.model.text import shown

_PATHS = "/inference"


def spec_problems(name: str, spec: EndpointSpec) -> Iterator[Problem]:
    """What is wrong with a spec as a whole."""
    if spec.canary is not None and not names.is_endpoint_name(name, with_canary=True):
        yield Problem("endpoint_name", name, names.NAME_RULE)
    yield from resource_problems(spec.resources.requests, spec.resources.limits, spec.device)
    root = spec.own_root_path
    if root is not None and root.startswith("/") and not is_url_path(root):
        # kubelet and the load balancer ask under it.
        yield Problem(f"spec.args: {ROOT_PATH}", root, "a URL path starting with '/', without a query")


def path_problem(name: str, path: str) -> Problem | None:
    """Why an endpoint may not have a path.

    All endpoints of a region stand behind one load balancer, where the first rule that matches takes the request. So
    what lies under /inference/ is each endpoint's by its name, and nobody's path covers all of it.
    """
    segments = path.rstrip("/").split("/")[1:]
    allowed = f"{_PATHS}/{shown(name)}, a path below it, or one that is not in {_PATHS}"
    if not segments or (f"/{segments[0]}" == _PATHS and segments[1:2] != [name]):
        return Problem("ingress_path", path, allowed)
    return None
