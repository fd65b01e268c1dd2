"""The API resource of each kind of object of an endpoint, and the names of the objects.

To add a kind, extend `Kind`, `RESOURCES`, `DELETION_ORDER` and the schemas in gco_stream.planning.diff.merge_schema,
and plan its objects in gco_stream.planning.lifecycle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gco_stream.model import names
from gco_stream.model.objects import Kind, ObjectRef


@dataclass(frozen=True, slots=True)
class ApiResource:
    """The API resource of a kind, and the names of an endpoint's objects of this kind.

    `group`: "" for the core API. `plural`: the name in REST paths. `has_canary`: the canary has its own object of this
    kind.
    """

    group: str
    version: str
    plural: str
    name_prefix: str = ""
    has_canary: bool = False

    @property
    def api_version(self) -> str:
        """The value of apiVersion in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def names_of(self, endpoint: str) -> tuple[str, ...]:
        """Returns the names that the endpoint's objects of this kind can have; the name of the main object is first."""
        main = self.name_prefix + endpoint
        return (main, names.canary_name(main)) if self.has_canary else (main,)

    def app_of(self, name: str) -> str:
        """Returns the `app` label of the object with this name: the name of its endpoint or of its canary."""
        return name.removeprefix(self.name_prefix)

    def endpoints_of(self, name: str) -> frozenset[str]:
        """Returns the names of the endpoints to which the object with this name can belong."""
        app = self.app_of(name)
        return frozenset({app, app.removesuffix(names.CANARY_SUFFIX)} - {""} if self.has_canary else {app})


RESOURCES: Final[Mapping[Kind, ApiResource]] = MappingProxyType(
    {
        Kind.DEPLOYMENT: ApiResource("apps", "v1", "deployments", has_canary=True),
        Kind.SERVICE: ApiResource("", "v1", "services", has_canary=True),
        Kind.INGRESS: ApiResource("networking.k8s.io", "v1", "ingresses", name_prefix=names.INGRESS_PREFIX),
        Kind.HPA: ApiResource("autoscaling", "v2", "horizontalpodautoscalers"),
    }
)

# The Ingress is deleted before the pods that it routes to, and the HPA before the Deployment that it scales.
DELETION_ORDER: Final = (Kind.INGRESS, Kind.HPA, Kind.SERVICE, Kind.DEPLOYMENT)


def endpoints_of_object(ref: ObjectRef, annotated: str | None) -> frozenset[str]:
    """Returns the names of the endpoints to which an object can belong. `annotated`: its gco.io/endpoint annotation.

    The name alone is ambiguous: `a-canary` may be the canary of `a` or the main object of an endpoint `a-canary`.
    """
    named = RESOURCES[ref.kind].endpoints_of(ref.name)
    return named | {annotated} if annotated else named
