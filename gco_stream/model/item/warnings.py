"""Warnings about a valid spec: values that have no effect, or not the effect that their author probably expects.

They depend only on the item. A report has the warnings of the item that it is about, so they never cause a report.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, Final

from gco_stream.model.image_reference import ImageReference
from gco_stream.model.item.field_types import has_s3_scheme
from gco_stream.model.item.spec import EndpointSpec, Metric, Resources, SpecPart
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.text import printable, truncate

KNOWN_METRICS: Final = ("cpu", "memory")
_MAX_WARNINGS: Final = 10
_HINTS: Final[Mapping[str, str]] = {
    "spec.canary.enabled": "the canary runs as long as spec.canary exists; remove spec.canary to remove it",
}


def spec_warnings(plain: Mapping[str, Any], spec: EndpointSpec) -> tuple[Cause, ...]:
    """Returns the first few warnings that concern every region. `plain`: the spec before validation."""
    found = (*_unknown_fields(spec, "spec"), *_ignored_values(plain, spec), *_metric_warnings(plain, spec))
    return found[:_MAX_WARNINGS]


def region_warnings(spec: EndpointSpec, region: str) -> Iterator[Cause]:
    """Yields the warnings that concern one region: images in region_image_uris that are not those of the spec."""
    if (regional := spec.region_image_uris.get(region)) is not None:
        yield from _stale(f"spec.region_image_uris.{region}", regional, "spec.image", spec.image)
    if spec.canary is not None and (regional := spec.canary.region_image_uris.get(region)) is not None:
        yield from _stale(f"spec.canary.region_image_uris.{region}", regional, "spec.canary.image", spec.canary.image)


def _stale(path: str, regional: str, image_path: str, image: str) -> Iterator[Cause]:
    one, other = ImageReference.parse(regional), ImageReference.parse(image)
    if not one.has_repository_of(other):
        what = "repository"
    elif one.is_other_version_of(other):
        what = "version"
    else:
        return
    message = f"{path}: {truncate(regional)} has another {what} than {image_path}, {truncate(image)}"
    yield Cause(Reason.REGION_IMAGE_STALE, message)


def _unknown_fields(part: SpecPart, path: str) -> Iterator[Cause]:
    for field in islice(part.model_extra or (), _MAX_WARNINGS):
        name = f"{path}.{truncate(printable(field))}"
        hint = _HINTS.get(name, "the field is ignored")
        if isinstance(part, Resources):
            hint = "quantities must be in requests or limits; the field is ignored"
        yield Cause(Reason.UNKNOWN_FIELD, f"{name}: unknown field: {hint}")
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, SpecPart):
            yield from _unknown_fields(value, f"{path}.{name}")
        elif isinstance(value, tuple):
            for number, inner in enumerate(islice(value, _MAX_WARNINGS)):
                if isinstance(inner, Metric):
                    yield from _unknown_fields(inner, f"{path}.{name}[{number}]")


def _ignored_values(plain: Mapping[str, Any], spec: EndpointSpec) -> Iterator[Cause]:
    if spec.model_source and not has_s3_scheme(spec.model_source):
        message = f"spec.model_source: {truncate(spec.model_source)} is not synced: only s3:// sources are"
        yield Cause(Reason.VALUE_IGNORED, message)
    canary = plain.get("canary")
    for path, part in (("spec", plain), ("spec.canary", canary if isinstance(canary, Mapping) else {})):
        images = part.get("region_image_uris")
        if images is not None and images != "" and not isinstance(images, Mapping):
            kind = type(images).__name__
            message = f"{path}.region_image_uris: invalid value of type {kind}: must be a map; the field is ignored"
            yield Cause(Reason.VALUE_IGNORED, message)


def _metric_warnings(plain: Mapping[str, Any], spec: EndpointSpec) -> Iterator[Cause]:
    if not spec.autoscaling.enabled:
        return
    metrics, path = spec.autoscaling.metrics, "spec.autoscaling.metrics"
    for kind in dict.fromkeys(metric.type for metric in metrics if metric.type not in KNOWN_METRICS):
        message = f"{path}: invalid value {kind!r}: must be cpu or memory; the metric is ignored"
        yield Cause(Reason.UNKNOWN_METRIC, message)
    if not any(metric.type in KNOWN_METRICS for metric in metrics):
        yield Cause(Reason.UNKNOWN_METRIC, f"{path}: no valid metric; the HPA scales on cpu at 70%")
    scaling = plain.get("autoscaling")
    written = scaling.get("metrics") if isinstance(scaling, Mapping) else None
    for number, metric in enumerate(written if isinstance(written, list | tuple) else ()):
        target = metric.get("target") if isinstance(metric, Mapping) else None
        if _has_fraction(target):
            message = f"{path}[{number}].target: {target} is rounded up: must be a whole number"
            yield Cause(Reason.VALUE_ROUNDED, message)


def _has_fraction(value: Any) -> bool:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return False
    return number.is_finite() and number != number.to_integral_value()
