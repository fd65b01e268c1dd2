"""The spec of an endpoint, with GCO's defaults for missing attributes."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gco_stream.model.item.field_types import (
    LIMITED_ENTRIES,
    LOWER,
    MAX_ENTRIES,
    NUMBER,
    ORDERED,
    ROUNDED_UP,
    TEXTS_OF_MAP,
    EnvName,
    FreeText,
    HealthPath,
    Image,
    LabelValue,
    ModelSource,
    QualifiedName,
    Quantity,
    Region,
    bounds,
    retry_without_empty,
    without_nulls,
)
from gco_stream.model.resources import DEVICES, ResourceName, limits_for, requests_within, value_of
from gco_stream.model.text import truncate

MAX_REPLICAS = 10_000
MAX_DEVICES_PER_POD = 1024
ROOT_PATH = "--root-path"
_MAX_ENTRIES_TEXT = f"at most {MAX_ENTRIES}"


class SpecPart(BaseModel):
    """Base class of the maps in the spec. Unknown attributes are kept but ignored.

    NULL counts as missing, and so does empty text where it is not a valid value.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, value: Any) -> Any:
        return without_nulls(value)

    @model_validator(mode="wrap")
    @classmethod
    def _empty_is_missing(cls, value: Any, validate: Callable[[Any], Any]) -> Any:
        return retry_without_empty(value, validate)


class Toleration(SpecPart):
    """A Kubernetes toleration. Unknown attributes are invalid."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    key: QualifiedName | None = None
    operator: Literal["Equal", "Exists"] | None = Field(None, description="Equal or Exists")
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="NoSchedule, PreferNoSchedule or NoExecute"
    )
    toleration_seconds: Annotated[int, NUMBER, bounds(0, 2**31 - 1)] | None = Field(None, alias="tolerationSeconds")

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> "Toleration":
        if self.key is None and self.operator != "Exists":
            raise ValueError("operator must be Exists if key is not set")
        if self.operator == "Exists" and self.value:
            raise ValueError("value must be empty if operator is Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("effect must be NoExecute if tolerationSeconds is set")
        return self

    def manifest(self) -> dict[str, Any]:
        """Returns the toleration as JSON for the pod spec."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Resources(SpecPart):
    """Resource requests and limits of the container. A missing map gets GCO's default; an empty map stays empty.

    A default never contradicts what the item has: a default limit is raised to the request, and a default request is
    lowered to the limit. A device in `requests` alone has the same limit.
    """

    requests: Annotated[dict[ResourceName, Quantity], LIMITED_ENTRIES] = Field(
        default_factory=lambda: {"cpu": "1", "memory": "4Gi"},
        description=f"a map of resource name to quantity, {_MAX_ENTRIES_TEXT}",
    )
    limits: Annotated[dict[ResourceName, Quantity], LIMITED_ENTRIES] = Field(
        default_factory=lambda: {"cpu": "4", "memory": "16Gi"},
        description=f"a map of resource name to quantity, {_MAX_ENTRIES_TEXT}",
    )

    @model_validator(mode="after")
    def _defaults_follow(self) -> "Resources":
        # The model is frozen, so a plain assignment would raise an error.
        if "limits" not in self.model_fields_set:
            object.__setattr__(self, "limits", limits_for(self.requests, self.limits))
        if "requests" not in self.model_fields_set:
            object.__setattr__(self, "requests", requests_within(self.limits, self.requests))
        return self


class Metric(SpecPart):
    """A metric of the HPA. An unknown `type` is valid, but has no effect.

    `target`: average utilization in percent. A fraction is rounded up.
    """

    type: Annotated[str, Field(description="cpu or memory"), AfterValidator(truncate)] = "cpu"
    target: Annotated[int, NUMBER, ROUNDED_UP, bounds(1, 10_000)] = 70


class Autoscaling(SpecPart):
    """Settings of the HPA: the bounds of the replica count, and the metrics."""

    enabled: Annotated[bool, Field(description="true or false")] = False
    min_replicas: Annotated[int, NUMBER, bounds(1, MAX_REPLICAS)] = 1
    max_replicas: Annotated[int, NUMBER, bounds(1, MAX_REPLICAS)] = 10
    metrics: Annotated[tuple[Metric, ...], LIMITED_ENTRIES, ORDERED] = Field(
        (Metric(),), description=f"a list of maps with type (cpu or memory) and target (percent), {_MAX_ENTRIES_TEXT}"
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Autoscaling":
        if self.enabled and self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}) must not be greater than max_replicas ({self.max_replicas})"
            )
        return self


class Canary(SpecPart):
    """A second version of the endpoint, which receives a share of the traffic. `weight`: the share in percent."""

    image: Image
    weight: Annotated[int, NUMBER, bounds(0, 100)] = 10
    replicas: Annotated[int, NUMBER, bounds(0, MAX_REPLICAS)] = 1
    region_image_uris: Annotated[dict[Region, Image], LIMITED_ENTRIES, TEXTS_OF_MAP] = Field(
        default_factory=dict, description=f"a map of region to image reference, {_MAX_ENTRIES_TEXT}"
    )


def _empty_map_is_missing(value: Any) -> Any:
    return None if isinstance(value, Mapping) and not value else value


class EndpointSpec(SpecPart):
    """The complete spec."""

    image: Image
    port: Annotated[int, NUMBER, bounds(1, 65535)] = 8000
    replicas: Annotated[int, NUMBER, bounds(0, MAX_REPLICAS)] = 1
    gpu_count: Annotated[int, NUMBER, bounds(0, MAX_DEVICES_PER_POD)] = 1
    gpu_type: FreeText | None = None
    accelerator: Annotated[Literal["nvidia", "neuron"], LOWER, Field(description="nvidia or neuron")] = "nvidia"
    model_path: FreeText | None = None
    model_source: ModelSource | None = None
    health_check_path: HealthPath = "/health"
    env: Annotated[dict[EnvName, FreeText], LIMITED_ENTRIES] = Field(
        default_factory=dict, description=f"a map of variable name to string, {_MAX_ENTRIES_TEXT}"
    )
    resources: Resources = Field(default_factory=Resources, description="a map with requests and limits")
    command: Annotated[tuple[FreeText, ...], LIMITED_ENTRIES, ORDERED] = Field(
        (), description=f"a list of strings, {_MAX_ENTRIES_TEXT}"
    )
    args: Annotated[tuple[FreeText, ...], LIMITED_ENTRIES, ORDERED] = Field(
        (), description=f"a list of strings, {_MAX_ENTRIES_TEXT}"
    )
    tolerations: Annotated[tuple[Toleration, ...], LIMITED_ENTRIES, ORDERED] = Field(
        (), description=f"a list of Kubernetes tolerations, {_MAX_ENTRIES_TEXT}"
    )
    node_selector: Annotated[dict[QualifiedName, LabelValue], LIMITED_ENTRIES] = Field(
        default_factory=dict, description=f"a map of node label to value, {_MAX_ENTRIES_TEXT}"
    )
    capacity_type: Annotated[
        Literal["spot", "on-demand", "reserved", "mixed"] | None,
        LOWER,
        Field(description="spot, on-demand, reserved or mixed"),
    ] = None
    region_image_uris: Annotated[dict[Region, Image], LIMITED_ENTRIES, TEXTS_OF_MAP] = Field(
        default_factory=dict, description=f"a map of region to image reference, {_MAX_ENTRIES_TEXT}"
    )
    autoscaling: Autoscaling = Field(
        default_factory=Autoscaling, description="a map with enabled, min_replicas, max_replicas and metrics"
    )
    canary: Annotated[Canary | None, BeforeValidator(_empty_map_is_missing)] = Field(
        None, description="a map with image, weight and replicas"
    )

    @property
    def device_count(self) -> int:
        """The number of devices of each pod: gpu_count or, without one, the number in `resources`; by default 1.

        The limit takes precedence over the request, as in Kubernetes. A number that is not valid is ignored.
        """
        device = DEVICES[self.accelerator]
        given = self.resources.limits.get(device) or self.resources.requests.get(device)
        if "gpu_count" in self.model_fields_set or given is None:
            return self.gpu_count
        count = value_of(given)
        return int(count) if count == int(count) and count <= MAX_DEVICES_PER_POD else self.gpu_count

    @property
    def device(self) -> str | None:
        """The resource name of the devices that the pods request; None if they request no devices."""
        return DEVICES[self.accelerator] if self.gpu_count else None

    @property
    def own_root_path(self) -> str | None:
        """The value of --root-path in `args`; None if the flag is missing, "" if it has no value."""
        for position, argument in enumerate(self.args):
            if argument == ROOT_PATH:
                return self.args[position + 1] if position + 1 < len(self.args) else ""
            if argument.startswith(ROOT_PATH + "="):
                return argument.partition("=")[2]
        return None

    def image_in(self, region: str) -> str:
        """Returns the image of the main Deployment in `region`."""
        return self.region_image_uris.get(region) or self.image

    def canary_image_in(self, region: str) -> str | None:
        """Returns the image of the canary in `region`; None if there is no canary."""
        if self.canary is None:
            return None
        return self.canary.region_image_uris.get(region) or self.canary.image
