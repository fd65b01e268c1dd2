"""Merge schema of the API types: which lists merge by key and which values are atomic.

It is taken from the schema of server-side apply in Kubernetes 1.34 (client-go, applyconfigurations/internal). Maps that
are not listed here are compared by field, and lists by position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Final

from gco_stream.model.objects import Kind


@dataclass(frozen=True, slots=True)
class MergeSchema:
    """How the values of one field are compared.

    `fields`: the schemas of the fields of a map, or of the items of a list.
    `keys`: the merge keys of a list, in alphabetical order; () if the list is compared by position.
    `elements`: the schema of the values of a map with arbitrary keys, such as labels. An empty value in such a map is
    not the same as an absent one.
    `atomic`: the value is owned as a whole, so any addition to it is a difference.
    `quantity`: the value is a Kubernetes quantity.
    """

    fields: Mapping[str, "MergeSchema"] = dataclass_field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[str, ...] = ()
    elements: "MergeSchema | None" = None
    atomic: bool = False
    quantity: bool = False

    @property
    def element(self) -> "MergeSchema":
        """The schema of all fields that are not in `fields`."""
        return self if self.atomic else self.elements or SCALAR


SCALAR: Final = MergeSchema()
ATOMIC: Final = MergeSchema(atomic=True)
MAP: Final = MergeSchema(elements=SCALAR)
KEY_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({"protocol": "TCP"})

_ATOMIC_MAP = MergeSchema(elements=SCALAR, atomic=True)
_QUANTITY = MergeSchema(quantity=True)
_QUANTITIES = MergeSchema(elements=_QUANTITY)
_METADATA = MergeSchema({"labels": MAP, "annotations": MAP})
_RESOURCES = MergeSchema({"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": MergeSchema(keys=("name",))})

_CONTAINERS = MergeSchema(
    {
        "env": MergeSchema(keys=("name",)),
        "ports": MergeSchema(keys=("containerPort", "protocol")),
        "resources": _RESOURCES,
        "volumeDevices": MergeSchema(keys=("devicePath",)),
        "volumeMounts": MergeSchema(keys=("mountPath",)),
    },
    keys=("name",),
)
_POD = MergeSchema(
    {
        "containers": _CONTAINERS,
        "hostAliases": MergeSchema(keys=("ip",)),
        "imagePullSecrets": MergeSchema(keys=("name",)),
        "initContainers": _CONTAINERS,
        "nodeSelector": _ATOMIC_MAP,
        "resourceClaims": MergeSchema(keys=("name",)),
        "resources": _RESOURCES,
        "schedulingGates": MergeSchema(keys=("name",)),
        "tolerations": ATOMIC,
        "topologySpreadConstraints": MergeSchema(
            {"labelSelector": ATOMIC, "matchLabelKeys": ATOMIC}, keys=("topologyKey", "whenUnsatisfiable")
        ),
        "volumes": MergeSchema({"emptyDir": MergeSchema({"sizeLimit": _QUANTITY})}, keys=("name",)),
    }
)

SPEC_SCHEMAS: Final[Mapping[Kind, MergeSchema]] = MappingProxyType(
    {
        Kind.DEPLOYMENT: MergeSchema(
            {"selector": ATOMIC, "template": MergeSchema({"metadata": _METADATA, "spec": _POD})}
        ),
        Kind.SERVICE: MergeSchema({"ports": MergeSchema(keys=("port", "protocol")), "selector": _ATOMIC_MAP}),
        Kind.INGRESS: MergeSchema({"defaultBackend": ATOMIC, "rules": ATOMIC, "tls": ATOMIC}),
        Kind.HPA: SCALAR,
    }
)
