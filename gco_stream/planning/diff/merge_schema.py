"""What comparing objects needs to know of the API's types: which lists merge by key, which values are one whole.

Taken from the schema that server-side apply itself uses on Kubernetes 1.34 (client-go,
applyconfigurations/internal). Fields that are not named here are plain: fields that the server adds are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Final

from gco_stream.model.objects import Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """How the values of one field compare.

    `fields`: the shapes of its fields that are not plain; of its items' fields where it is a list.
    `keys`: the merge keys of a list whose items are found by key, in alphabetical order. () where position counts.
    `entries`: a map with free names (labels): the shape of every value. There, "" is a value like others.
    `whole`: nothing may stand beside what is desired. The server adds nothing to such a value, and another
    manager's addition would make it another value, which fieldsV1 does not show.
    `quantity`: a Kubernetes quantity.
    """

    fields: Mapping[str, "Shape"] = dataclass_field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[str, ...] = ()
    entries: "Shape | None" = None
    whole: bool = False
    quantity: bool = False

    @property
    def other(self) -> "Shape":
        """The shape of the fields that `fields` does not name."""
        return self if self.whole else self.entries or PLAIN


PLAIN: Final = Shape()
WHOLE: Final = Shape(whole=True)
ENTRIES: Final = Shape(entries=PLAIN)
KEY_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({"protocol": "TCP"})

_WHOLE_ENTRIES = Shape(entries=PLAIN, whole=True)
_QUANTITY = Shape(quantity=True)
_QUANTITIES = Shape(entries=_QUANTITY)
_METADATA = Shape({"labels": ENTRIES, "annotations": ENTRIES})
_RESOURCES = Shape({"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": Shape(keys=("name",))})

_CONTAINERS = Shape(
    {
        "env": Shape(keys=("name",)),
        "ports": Shape(keys=("containerPort", "protocol")),
        "resources": _RESOURCES,
        "volumeDevices": Shape(keys=("devicePath",)),
        "volumeMounts": Shape(keys=("mountPath",)),
    },
    keys=("name",),
)
_POD = Shape(
    {
        "containers": _CONTAINERS,
        "hostAliases": Shape(keys=("ip",)),
        "imagePullSecrets": Shape(keys=("name",)),
        "initContainers": _CONTAINERS,
        "nodeSelector": _WHOLE_ENTRIES,
        "resourceClaims": Shape(keys=("name",)),
        "resources": _RESOURCES,
        "schedulingGates": Shape(keys=("name",)),
        "tolerations": WHOLE,
        "topologySpreadConstraints": Shape(
            {"labelSelector": WHOLE, "matchLabelKeys": WHOLE}, keys=("topologyKey", "whenUnsatisfiable")
        ),
        "volumes": Shape({"emptyDir": Shape({"sizeLimit": _QUANTITY})}, keys=("name",)),
    }
)

SPECS: Final[Mapping[Kind, Shape]] = MappingProxyType(
    {
        Kind.DEPLOYMENT: Shape({"selector": WHOLE, "template": Shape({"metadata": _METADATA, "spec": _POD})}),
        Kind.SERVICE: Shape({"ports": Shape(keys=("port", "protocol")), "selector": _WHOLE_ENTRIES}),
        Kind.INGRESS: Shape({"defaultBackend": WHOLE, "rules": WHOLE, "tls": WHOLE}),
        Kind.HPA: PLAIN,
    }
)
