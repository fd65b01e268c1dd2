"""Endpoints, as read from the items of the table.

The name, desired_state, target_regions and namespace are validated separately from the spec, because stopping or
deleting an endpoint requires only these. An invalid spec therefore never prevents a stop or a deletion.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import compress, islice
from operator import not_
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from gco_stream.model import names, wire
from gco_stream.model.item import validation as rules
from gco_stream.model.item.field_types import (
    LIMITED_ENTRIES,
    MAX_ENTRIES,
    NUMBER,
    IngressPath,
    Region,
    bounds,
    retry_without_empty,
)
from gco_stream.model.item.problem import Problem, summarize
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.item.validation import problems_of
from gco_stream.model.item.warnings import region_warnings, spec_warnings
from gco_stream.model.reasons import Cause, reason_of_report
from gco_stream.model.text import truncate
from gco_stream.model.times import MAX_EPOCH


class DesiredState(StrEnum):
    """State that the user requests. The controller changes deploying to running when all target regions are running."""

    DEPLOYING = "deploying"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class RegionState(StrEnum):
    """State that a region reports."""

    PENDING = "pending"
    CREATING = "creating"
    RUNNING = "running"
    UPDATING = "updating"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"


def _epoch(value: Any) -> int | None:
    """The epoch, or None if it cannot be one, so that it does not invalidate the report beside it."""
    try:
        found = int(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return found if 0 <= found < MAX_EPOCH else None


class RegionStatus(BaseModel):
    """One region's entry in region_status.

    `last_sync`: time of the report, in ISO 8601. `reason`: a reason code, possibly one of a later release; "" if there
    is none. `epoch`: epoch of the leader that wrote the entry, in microseconds. `intent`: digest of the desired state
    that the entry is about. GCO's monitor writes neither `epoch` nor `intent`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: RegionState
    replicas_ready: Annotated[int, NUMBER, bounds(0, 2**31)] = 0
    replicas_desired: Annotated[int, NUMBER, bounds(0, 2**31)] = 0
    last_sync: str = ""
    error: str = ""
    reason: str = ""
    epoch: Annotated[int | None, BeforeValidator(_epoch)] = None
    intent: str | None = None

    @model_validator(mode="after")
    def _with_reason(self) -> "RegionStatus":
        # The model is frozen, so a plain assignment would raise an error.
        object.__setattr__(self, "reason", reason_of_report(self.reason, self.error))
        return self


class Endpoint(BaseModel):
    """An endpoint with a valid name, desired state, target regions and namespace.

    `namespace`: None for the installation's default namespace. `spec`: None if it is invalid; `spec_problems` then
    lists the problems. `canary_problems`: the problems of an invalid canary, which `spec` then omits. `warnings`: those
    that concern every region; see `warnings_in`. `hold`: the
    reason for the hold; None if there is no hold. `region_status`: the valid entries by region. `reported_regions`: the
    regions of all entries, including invalid ones. `intent` and `digest`: see `intent_of` and `change_digest` in
    gco_stream.model.wire.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    desired_state: DesiredState
    target_regions: frozenset[str]
    namespace: str | None
    ingress_path: str
    spec: EndpointSpec | None
    spec_problems: tuple[Problem, ...] = ()
    canary_problems: tuple[Problem, ...] = ()
    warnings: tuple[Cause, ...] = ()
    hold: str | None = None
    created_at: str = ""
    updated_at: str = ""
    region_status: Mapping[str, RegionStatus] = Field(default_factory=dict)
    reported_regions: frozenset[str] = frozenset()
    intent: str
    digest: str

    @property
    def is_deleted(self) -> bool:
        """Whether the desired state is deleted, which applies to all regions."""
        return self.desired_state is DesiredState.DELETED

    @property
    def has_canary(self) -> bool:
        """Whether the item has a canary, valid or not."""
        return bool(self.canary_problems) or (self.spec is not None and self.spec.canary is not None)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """The problems of the spec, including those of its canary."""
        return self.spec_problems + self.canary_problems

    def warnings_in(self, region: str) -> tuple[Cause, ...]:
        """Returns the warnings about the spec that concern this region; () if the endpoint should not exist in it."""
        if self.spec is None or self.is_deleted or region not in self.target_regions:
            return ()
        return (*self.warnings, *region_warnings(self.spec, region))

    def is_wanted_in(self, region: str) -> bool:
        """Whether the endpoint should run in this region."""
        return region in self.target_regions and self.desired_state in {DesiredState.DEPLOYING, DesiredState.RUNNING}


class InvalidItem(BaseModel):
    """An item with an invalid name, state, target regions or namespace. It is reported, but never acted on."""

    model_config = ConfigDict(frozen=True)

    name: str
    problems: tuple[Problem, ...]
    target_regions: frozenset[str] = frozenset()
    region_status: Mapping[str, RegionStatus] = Field(default_factory=dict)
    intent: str
    digest: str

    @property
    def error(self) -> str:
        """The first few problems, in one line."""
        return summarize(self.problems)


def _regions(value: Any) -> Any:
    if isinstance(value, frozenset | set | list | tuple) and not value:
        raise ValueError("empty")
    # Sorted, because invalid regions are reported in the order of their elements.
    return sorted(value, key=repr) if isinstance(value, frozenset | set) else value


def _namespace(value: str) -> str:
    if not names.is_namespace(value):
        raise ValueError("not the name of a namespace")
    return value


_NAME_FIELD = "endpoint_name"
_MAX_REASON_LENGTH = 200
_MAX_TIME_LENGTH = 64


# Text of `hold` that holds nothing: what tools write for "false" or "not set".
_NO_HOLD = frozenset({"", "false", "no", "0", "off"})
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_BETWEEN_REGIONS = re.compile(r"[,\s]+")


class _Attributes(BaseModel):
    """Base class of the attributes of an item. Empty text counts as missing where it is not a valid value."""

    @model_validator(mode="wrap")
    @classmethod
    def _empty_is_missing(cls, value: Any, validate: Callable[[Any], Any]) -> Any:
        return retry_without_empty(value, validate)


class _Identity(_Attributes):
    endpoint_name: str
    desired_state: DesiredState = Field(DesiredState.DEPLOYING, description="deploying, running, stopped or deleted")
    target_regions: Annotated[
        frozenset[Region],
        BeforeValidator(_regions),
        LIMITED_ENTRIES,
        Field(description=f"a list of 1 to {MAX_ENTRIES} regions"),
    ]
    namespace: Annotated[str, AfterValidator(_namespace), Field(description=names.NAMESPACE_RULE)] | None = None


class _Route(_Attributes):
    ingress_path: IngressPath | None = None


_SPEC = TypeAdapter(EndpointSpec)
_STATUS = TypeAdapter(RegionStatus)


def read_endpoint(item: Mapping[str, Any]) -> Endpoint | InvalidItem:
    """Reads an item in wire form. Invalid attributes become problems and do not raise errors.

    The key, `endpoint_name`, must be a string. The schema of the table guarantees this.
    """
    plain = wire.decode(item)
    name = plain[_NAME_FIELD]
    intent, digest = wire.intent_of(item), wire.change_digest(item)
    statuses = _statuses(plain.get("region_status"))
    present = {key: value for key, value in plain.items() if value is not None}
    problems: list[Problem] = []
    identity = None
    try:
        identity = _Identity.model_validate(present)
    except ValidationError as error:
        problems += problems_of(error, _Identity, "")
    path, path_problems = _read_path(name, present)
    if not names.is_endpoint_name(name):
        problems.append(Problem(_NAME_FIELD, name, names.NAME_RULE))
    if problems or identity is None:
        return InvalidItem(
            name=name,
            problems=(*problems, *path_problems),
            target_regions=_readable_regions(plain.get("target_regions")),
            region_status=statuses,
            intent=intent,
            digest=digest,
        )
    spec, spec_problems, canary_problems = _read_spec(name, plain.get("spec"))
    if path_problems:
        # A stop or a deletion does not need a path, so an invalid path invalidates only the spec.
        spec, spec_problems = None, (*path_problems, *spec_problems)
    return Endpoint(
        name=name,
        desired_state=identity.desired_state,
        target_regions=identity.target_regions,
        namespace=identity.namespace,
        ingress_path=path,
        spec=spec,
        spec_problems=spec_problems,
        canary_problems=canary_problems,
        warnings=spec_warnings(plain["spec"], spec) if spec is not None else (),
        hold=hold_reason(plain.get("hold")),
        created_at=_time(plain.get("created_at")),
        updated_at=_time(plain.get("updated_at")),
        region_status=statuses,
        reported_regions=_reported_regions(plain.get("region_status")),
        intent=intent,
        digest=digest,
    )


def _reported_regions(value: Any) -> frozenset[str]:
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _readable_regions(value: Any) -> frozenset[str]:
    """The regions of an invalid item, which report that it is invalid. Text is a common mistake for a list."""
    if isinstance(value, str):
        parts = filter(_REGION.fullmatch, _BETWEEN_REGIONS.split(value))
        return frozenset(islice(parts, MAX_ENTRIES))
    if not isinstance(value, list | frozenset):
        return frozenset()
    return frozenset(region for region in value if isinstance(region, str))


def hold_reason(value: Any) -> str | None:
    """Returns the reason for a hold from the item's `hold`; None if it holds nothing."""
    if not value or (isinstance(value, str) and value.strip().lower() in _NO_HOLD):
        return None
    return truncate(value, _MAX_REASON_LENGTH) if isinstance(value, str) else "for a reason that is not a string"


def _time(value: Any) -> str:
    """The value if it can be a time (short, printable ASCII), otherwise "". It is copied into annotations."""
    is_time = isinstance(value, str) and len(value) <= _MAX_TIME_LENGTH and value.isascii() and value.isprintable()
    return value if is_time else ""


def _statuses(value: Any) -> dict[str, RegionStatus]:
    statuses: dict[str, RegionStatus] = {}
    if not isinstance(value, dict):
        return statuses
    for region, entry in value.items():
        if not isinstance(entry, dict) or "state" not in entry:
            continue
        try:
            statuses[region] = _STATUS.validate_python(entry)
        except ValidationError:
            # An invalid entry counts as missing. The next report of its region overwrites it.
            continue
    return statuses


def _read_path(name: str, present: Mapping[str, Any]) -> tuple[str, tuple[Problem, ...]]:
    default = f"/inference/{name}"
    try:
        path = _Route.model_validate(present).ingress_path or default
    except ValidationError as error:
        return default, problems_of(error, _Route, "")
    problem = rules.path_problem(name, path)
    return (path, ()) if problem is None else (default, (problem,))


_CANARY = "canary"

_Problems = tuple[Problem, ...]


def _read_spec(name: str, plain: Any) -> tuple[EndpointSpec | None, _Problems, _Problems]:
    """Returns the spec, its problems, and the problems of its canary. An invalid canary is not in the spec."""
    if not isinstance(plain, dict):
        allowed = "a map with at least an image"
        # The value is omitted because it may contain secrets from env.
        complaint = "" if plain is None else f"invalid value of type {type(plain).__name__}: must be {allowed}"
        return None, (Problem("spec", None, allowed, complaint),), ()
    canary_problems: _Problems = ()
    try:
        spec = _SPEC.validate_python(plain)
    except ValidationError as error:
        problems = problems_of(error, EndpointSpec, "spec.")
        in_canary = [detail["loc"][:1] == (_CANARY,) for detail in error.errors()]
        canary_problems = tuple(compress(problems, in_canary))
        if not all(in_canary):
            return None, tuple(compress(problems, map(not_, in_canary))), canary_problems
        spec = _SPEC.validate_python({key: value for key, value in plain.items() if key != _CANARY})
    if problem := rules.canary_problem(name, spec):
        canary_problems, spec = (problem,), spec.model_copy(update={_CANARY: None})
    problems = tuple(rules.spec_problems(spec))
    return None if problems else spec, problems, canary_problems
