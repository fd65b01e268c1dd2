"""Names of objects, labels, annotations and field managers, and validation of endpoint and namespace names.

Existing clusters depend on these values: GCO's monitor created objects with the same names and labels, and the selector
of a Deployment is immutable.
"""

import re
from typing import Final

FIELD_MANAGER: Final = "gco-stream"
REPLICAS_FIELD_MANAGER: Final = "gco-stream-replicas"
CLI_FIELD_MANAGER: Final = "gco-stream-cli"
LEGACY_FIELD_MANAGERS: Final = frozenset({"OpenAPI-Generator", "before-first-apply"})

PROJECT_LABEL: Final = "project"
TYPE_LABEL: Final = "gco.io/type"
APP_LABEL: Final = "app"
CANARY_LABEL: Final = "gco.io/canary"
OWNED_SELECTOR: Final = f"{PROJECT_LABEL}=gco,{TYPE_LABEL}=inference"

ENDPOINT_ANNOTATION: Final = "gco.io/endpoint"
TABLE_ANNOTATION: Final = "gco.io/table"
TEMPLATE_HASH_ANNOTATION: Final = "gco.io/template-hash"
TEMPLATE_VERSION_ANNOTATION: Final = "gco.io/template-version"
REVISION_ANNOTATION: Final = "gco.io/revision"
CONTESTED_ANNOTATION: Final = "gco.io/contested"
UPGRADE_ANNOTATION: Final = "gco.io/upgrade"
SUPERSEDED_IMAGE_ANNOTATION: Final = "gco.io/superseded-image"
DRAINING_SINCE_ANNOTATION: Final = "gco.io/draining-since"
UNREADY_SINCE_ANNOTATION: Final = "gco.io/unready-since"
WEIGHTED_ROUTING_ANNOTATION: Final = "alb.ingress.kubernetes.io/actions.weighted-routing"

CANARY_SUFFIX: Final = "-canary"
CONTAINER: Final = "inference"
INGRESS_PREFIX: Final = "inference-"

# The name of a Service is a DNS-1035 label of at most 63 characters, and the value of the `app` label has the same
# limit. The name of the canary's Service has a suffix, so the name of an endpoint with a canary must be shorter.
MAX_NAME: Final = 63
MAX_NAME_WITH_CANARY: Final = MAX_NAME - len(CANARY_SUFFIX)
_DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

NAME_RULE: Final = (
    f"a name of lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, "
    f"at most {MAX_NAME} characters ({MAX_NAME_WITH_CANARY} with a canary)"
)
NAMESPACE_RULE: Final = (
    "a name of lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63 characters"
)


def labels(app: str) -> dict[str, str]:
    """Returns the labels of an object. `app`: the name of the endpoint, or of its canary for the canary's objects."""
    return {APP_LABEL: app, PROJECT_LABEL: "gco", TYPE_LABEL: "inference"}


def canary_name(endpoint: str) -> str:
    """Name of the canary's Deployment and Service."""
    return endpoint + CANARY_SUFFIX


def ingress_name(endpoint: str) -> str:
    """Name of the endpoint's Ingress."""
    return INGRESS_PREFIX + endpoint


def is_endpoint_name(name: str, *, with_canary: bool = False) -> bool:
    """Whether all objects of an endpoint with this name have valid names."""
    limit = MAX_NAME_WITH_CANARY if with_canary else MAX_NAME
    return len(name) <= limit and _DNS_1035_LABEL.fullmatch(name) is not None


def is_namespace(name: str) -> bool:
    """Whether this is a valid namespace name (a DNS-1123 label)."""
    return len(name) <= MAX_NAME and _DNS_1123_LABEL.fullmatch(name) is not None
