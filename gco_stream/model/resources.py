"""Quantities, and the validation of resource requests and limits, as in the API server.

The grammar and limits of quantities are those of apimachinery (pkg/api/resource/quantity.go), and values are rounded as
by SetDefaults_ResourceList. Requests and limits follow ValidateContainerResourceRequirements.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_UP, Context, Decimal
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gco_stream.model.item.field_types import TEXT, is_qualified_name
from gco_stream.model.item.problem import Problem

DEVICES: Final[Mapping[str, str]] = MappingProxyType({"nvidia": "nvidia.com/gpu", "neuron": "aws.amazon.com/neuron"})
"""Resource name of each accelerator's devices."""

MAX_DEVICES: Final = 100_000
_STANDARD: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE_PAGES: Final = re.compile(r"hugepages-(64Ki|2Mi|32Mi|512Mi|1Gi|16Gi)")
# Names that Kubernetes reserves for its own resources, and for the requests in a ResourceQuota.
_RESERVED: Final = re.compile(r"requests\..*|.*kubernetes\.io/.*", re.DOTALL)
_QUOTA_PREFIX: Final = "requests."
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[num]|[kMGTPE]|[KMGTPE]i)?")
_SUFFIXES = {
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_MAX_VALUE = Decimal(2**63 - 1)
_MILLI = Decimal("0.001")
# The default precision of 28 digits would round long quantities too early.
_EXACT = Context(prec=2000)


def value_of(quantity: str | int | float) -> Decimal:
    """Returns the value that the API server stores for a quantity: rounded up to thousandths, at most 2^63 - 1.

    A JSON number is a valid quantity, as in Kubernetes. Raises ValueError for an invalid quantity.
    """
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a Kubernetes quantity: {quantity!r:.60}")
    digits, suffix = match[1], match[2] or ""
    scale = _SUFFIXES.get(suffix)
    value = Decimal(digits + suffix) if scale is None else _EXACT.multiply(Decimal(digits), scale)
    if abs(value) >= _MAX_VALUE:
        return _MAX_VALUE.copy_sign(value)
    return value.quantize(_MILLI, ROUND_UP, _EXACT)


def _resource_name(name: str) -> str:
    if name not in _STANDARD and not _HUGE_PAGES.fullmatch(name) and not _is_device(name):
        raise ValueError("not the name of a resource")
    return name


def _is_device(name: str) -> bool:
    return "/" in name and is_qualified_name(_QUOTA_PREFIX + name) and not _RESERVED.fullmatch(name)


ResourceName = Annotated[
    str,
    TEXT,
    Field(
        max_length=317,
        description="cpu, memory, ephemeral-storage, hugepages-2Mi or a device such as example.com/device",
    ),
    AfterValidator(_resource_name),
]


def limits_for(requests: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Returns the limits of a container without own limits: the defaults, or the requests if these are higher.

    Devices and huge pages require a limit equal to the request. The devices of the known accelerators are omitted,
    because gpu_count sets their limit.
    """
    own = {name: request for name, request in requests.items() if name not in _STANDARD | set(DEVICES.values())}
    higher = {
        name: requests[name] for name in defaults if name in requests and _is_more(requests[name], defaults[name])
    }
    return {**defaults, **own, **higher}


def requests_within(limits: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Returns the requests of a container without own requests: the defaults, or the limits if these are lower."""
    lower = {name: limits[name] for name in defaults if name in limits and _is_more(defaults[name], limits[name])}
    return {**defaults, **lower}


def _is_more(one: str, other: str) -> bool:
    return value_of(one) > value_of(other)


def resource_problems(requests: Mapping[str, str], limits: Mapping[str, str], given: str | None) -> Iterator[Problem]:
    """Yields the problems of the requests and limits in a spec.

    `given`: the resource whose count is set by gpu_count. It is not checked, because gpu_count overrides its quantity.
    """
    halves = {"requests": requests, "limits": limits}
    for half, quantities in halves.items():
        for name, quantity in quantities.items():
            path = f"spec.resources.{half}.{name}"
            if name != given and _is_device(name) and not _is_count(value_of(quantity)):
                yield Problem(path, quantity, f"a whole number of devices from 0 to {MAX_DEVICES}")
            elif (size := _HUGE_PAGES.fullmatch(name)) and value_of(quantity) % value_of(size[1]):
                yield Problem(path, quantity, f"a multiple of {size[1]}")
    for name, request in requests.items():
        limit = limits.get(name)
        path = f"spec.resources.requests.{name}"
        if name == given:
            continue
        if name in _STANDARD:
            if limit is not None and value_of(request) > value_of(limit):
                yield Problem(path, request, f"at most the limit ({limit})")
        elif limit is None or value_of(request) != value_of(limit):
            limit_text = "not set" if limit is None else limit
            yield Problem(path, request, f"equal to spec.resources.limits.{name} ({limit_text})")
    named = requests.keys() | limits.keys()
    if any(map(_HUGE_PAGES.fullmatch, named)) and not named & {"cpu", "memory"}:
        yield Problem("spec.resources", None, "", complaint="huge pages require cpu or memory")


def _is_count(value: Decimal) -> bool:
    return value == value.to_integral_value() and value <= MAX_DEVICES
