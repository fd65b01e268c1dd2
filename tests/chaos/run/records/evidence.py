"""What a run has recorded, as values. Judges see nothing else. Times are this machine's Unix times, in seconds."""

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
    """Something that a user or somebody's hands did, from before it was begun until it was known how it ended.

    `mark`: the updated_at that a user's write left, "" for none or where it is not known. `about`: the object of hands.
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
    """A fault and how long it lasted; `replica` is a replica, "" for what befell all."""

    at: float
    until: float
    kind: str
    replica: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the table's stream: an item before and after, {} where there is none."""

    at: float
    name: str
    old: Plain
    new: Plain


@dataclass(frozen=True, slots=True)
class Event:
    """What a watch told of an object. `guessed`: found by listing anew, so it happened some time before."""

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
        """Whose it says it is."""
        return str(self.obj.get("annotations", {}).get(names.ENDPOINT_ANNOTATION, ""))


@dataclass(frozen=True, slots=True)
class Call:
    """A replica's call as the API server's audit log has it. `at`: when it arrived, `until`: when it was answered."""

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
    """Everything. `began`, `quiet`: when faults began and ended; `ended`: when the last was recorded.

    `name_conflicts`: objects that no replica may touch. `region`: the controller's.
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
    """Every item's versions in time."""

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
        """The item at a time, {} where there was none."""
        position = bisect_right(self._times.get(name, []), when)
        return self._items[name][position - 1] if position else {}

    def between(self, name: str, begin: float, end: float) -> list[Plain]:
        """Every version that was in force at some time from `begin` to `end`."""
        times = self._times.get(name, [])
        first, last = bisect_right(times, begin), bisect_right(times, end)
        return [self.at(name, begin), *self._items.get(name, [])[first:last]]


def owner_of(kind: str, name: str) -> tuple[str, bool]:
    """The endpoint that an object's name says, and whether it is its canary's. Endpoints of a run have no such names
    themselves.
    """
    base = name.removeprefix(names.INGRESS_PREFIX) if kind == "Ingress" else name
    canary = kind in MAIN_KINDS and base.endswith(names.CANARY_SUFFIX)
    return (base.removesuffix(names.CANARY_SUFFIX) if canary else base), canary


def runs(item: Plain, region: str) -> bool:
    """Whether the item asks for running pods here."""
    return item.get("desired_state") in {"deploying", "running"} and region in item.get("target_regions", ())


def spec_of(item: Plain) -> Plain:
    spec = item.get("spec")
    return spec if isinstance(spec, Mapping) else {}
