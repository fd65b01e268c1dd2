"""Summary of an item's desired state in one region, as shown by `explain`, without values of environment variables."""

from collections.abc import Iterator

from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.item.spec import Autoscaling, Canary, EndpointSpec
from gco_stream.planning.types.policy import Policy


def desired_summary(item: Endpoint | InvalidItem, policy: Policy, image: str = "") -> dict[str, str]:
    """Returns the summary as text by label, in display order, with the errors of an invalid item or spec.

    `image`: the main Deployment's image in this region; "" to take it from the item alone.
    """
    if isinstance(item, InvalidItem):
        return {"error": item.error}
    return dict(_of_item(item, policy)) | dict(_of_spec(item, policy, image))


def _of_item(item: Endpoint, policy: Policy) -> Iterator[tuple[str, str]]:
    yield "desired", str(item.desired_state)
    if item.hold is not None:
        yield "hold", item.hold
    yield "regions", ", ".join(sorted(item.target_regions))
    yield "namespace", item.namespace or f"{policy.namespace} (default)"
    yield "path", item.ingress_path
    if item.updated_at:
        yield "updated", item.updated_at


def _of_spec(item: Endpoint, policy: Policy, image: str) -> Iterator[tuple[str, str]]:
    for number, problem in enumerate(item.all_problems):
        yield f"error {number + 1}" if number else "error", str(problem)
    spec = item.spec
    if spec is None:
        return
    yield "image", _image(spec, image or spec.image_in(policy.region))
    yield "replicas", _autoscaling(spec.autoscaling) if spec.autoscaling.enabled else str(spec.replicas)
    yield "devices", f"{spec.device_count} {spec.accelerator}" if spec.device_count else "none"
    if spec.canary is not None:
        yield "canary", _canary(spec, spec.canary, policy.region)
    if spec.env:
        yield "env", ", ".join(sorted(spec.env))


def _image(spec: EndpointSpec, image: str) -> str:
    return image if image == spec.image else f"{image} (for this region; {spec.image} elsewhere)"


def _autoscaling(scaling: Autoscaling) -> str:
    metrics = ", ".join(f"{metric.type} {metric.target}%" for metric in scaling.metrics)
    return f"{scaling.min_replicas} to {scaling.max_replicas}, scaled by the HPA on {metrics or 'cpu 70%'}"


def _canary(spec: EndpointSpec, canary: Canary, region: str) -> str:
    image = spec.canary_image_in(region)
    replicas = "1 replica" if canary.replicas == 1 else f"{canary.replicas} replicas"
    return f"{image}, {replicas}, {canary.weight}% of the traffic"
