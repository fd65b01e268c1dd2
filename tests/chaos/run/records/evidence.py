"""The records of a run, as values; judges use nothing else. Times are this machine's Unix times, in seconds."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gco_stream.model import names

Plain = Mapping[str, Any]

MAIN_KINDS = ("Deployment", "Service")
KINDS = ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler")


@dataclass(frozen=True, slots=True)
class Action:
    """A user's write or a cluster edit, from before its start until its result was known.

    `mark`: the updated_at written by a user, "" for none or unknown. `about`: the object of a cluster edit.
    """

    at: float
    until: float
    actor: str
    what: str
    name: str
    mark: str = ""
    about: tuple[str, str, str] | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault and its duration; `replica` is "" if it affected all replicas."""

    at: float
    until: float
    kind: str
    replica: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the table's stream: an item before and after, {} for none."""

    at: float
    name: str
    old: Plain
    new: Plain


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a watch. `guessed`: found by a new list, so it happened earlier."""

    at: float
    type: str
    kind: str
    namespace: str
    name: str
    uid: str
    obj: Plain
    guessed: bool = False

    @property
    def ref(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    @property
    def endpoint(self) -> str:
        """The endpoint named by the object's annotation."""
        return str(self.obj.get("annotations", {}).get(names.ENDPOINT_ANNOTATION, ""))


@dataclass(frozen=True, slots=True)
class Call:
    """A replica's call, from the API server's audit log. `at`: when it arrived, `until`: when it was answered."""

    at: float
    until: float
    replica: str
    verb: str
    kind: str
    namespace: str
    name: str
    status: int
    subresource: str = ""

    @property
    def ref(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    @property
    def is_write(self) -> bool:
        return self.verb in {"create", "update", "patch", "delete", "deletecollection"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records. `began`, `quiet`: when faults began and ended; `ended`: the time of the last record.

    `foreign`: objects that no replica may touch. `region`: the controller's region.
    """

    region: str
    began: float
    quiet: float
    ended: float
    changes: tuple[Change, ...] = ()
    events: tuple[Event, ...] = ()
    calls: tuple[Call, ...] = ()
    actions: tuple[Action, ...] = ()
    spans: tuple[FaultSpan, ...] = ()
    foreign: frozenset[tuple[str, str, str]] = field(default_factory=frozenset)


class Histories:
    """The versions of every item over time."""

    def __init__(self, changes: tuple[Change, ...]) -> None:
        self._times: dict[str, list[float]] = {}
        self._items: dict[str, list[Plain]] = {}
        for change in changes:
            times = self._times.setdefault(change.name, [])
            times.append(max(change.at, times[-1]) if times else change.at)
            self._items.setdefault(change.name, []).append(change.new)

    def __iter__(self) -> Iterator[str]:
        return iter(self._times)

    def at(self, name: str, when: float) -> Plain:
        """Returns the item at a time, {} if there was none."""
        position = bisect_right(self._times.get(name, []), when)
        return self._items[name][position - 1] if position else {}

    def between(self, name: str, begin: float, end: float) -> list[Plain]:
        """Returns every version that was current at some time from `begin` to `end`."""
        times = self._times.get(name, [])
        first, last = bisect_right(times, begin), bisect_right(times, end)
        return [self.at(name, begin), *self._items.get(name, [])[first:last]]


def owner_of(kind: str, name: str) -> tuple[str, bool]:
    """Returns the endpoint of an object, by its name, and whether the object belongs to the endpoint's canary.

    Endpoints of a run have no names with these affixes.
    """
    base = name.removeprefix(names.INGRESS_PREFIX) if kind == "Ingress" else name
    canary = kind in MAIN_KINDS and base.endswith(names.CANARY_SUFFIX)
    return (base.removesuffix(names.CANARY_SUFFIX) if canary else base), canary


def runs(item: Plain, region: str) -> bool:
    """Whether the item wants running pods in this region."""
    return item.get("desired_state") in {"deploying", "running"} and region in item.get("target_regions", ())


def spec_of(item: Plain) -> Plain:
    spec = item.get("spec")
    return spec if isinstance(spec, Mapping) else {}
