"""Ingress paths that overlap: equal ones, and one that is a prefix of another by path segments.

All endpoints of a region share one load balancer. It evaluates the rules of their Ingresses in the order of namespace
and name, so of two overlapping paths, one takes requests for the other. Each path therefore has one owner, and another
endpoint gets no Ingress for a path that overlaps it. An Ingress that serves is never withdrawn for that.
"""

from gco_stream.model.objects import ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import RequeueAfter

# The owner's changes requeue the endpoint. This is the fallback, because a resync skips endpoints without changes.
RECHECK = RequeueAfter(300.0, "check whether the ingress_path is free")


def normalized(path: str) -> str:
    """Returns the path without a trailing slash, which does not matter in an Ingress path of type Prefix."""
    return path.rstrip("/")


def overlap(one: str, other: str) -> bool:
    """Returns whether a request can match both paths."""
    shorter, longer = sorted((normalized(one) + "/", normalized(other) + "/"), key=len)
    return longer.startswith(shorter)


def paths_of(ingress: ObservedObject) -> list[str]:
    """Returns the paths of the rules of an Ingress."""
    rules = ingress.spec.get("rules") or ()
    return [path.get("path", "") for rule in rules for path in (rule.get("http") or {}).get("paths") or ()]


def has_path(ingress: ObservedObject, path: str) -> bool:
    """Returns whether the Ingress has this path."""
    return normalized(path) in map(normalized, paths_of(ingress))


def serves(ingress: ObservedObject | None, path: str) -> bool:
    """Returns whether the Ingress exists, is not being deleted, and has a path that overlaps this one."""
    return ingress is not None and not ingress.deleting and any(overlap(path, own) for own in paths_of(ingress))


def conflict(context: ReconcileContext) -> Cause | None:
    """Returns the cause to report if the endpoint's path overlaps that of its owner; None if it does not."""
    owner = context.fleet.ingress_path_owner
    if owner is None:
        return None
    path = context.endpoint.ingress_path
    message = f"ingress_path: invalid value {path!r}: must not overlap the path of the endpoint {owner}"
    return Cause(Reason.INGRESS_PATH_CONFLICT, message)
