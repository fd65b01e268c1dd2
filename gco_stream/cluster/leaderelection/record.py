"""Rules of leader election as pure functions: who may lead, and what to write into the Lease.

As in client-go, clocks of different machines are never compared. A standby measures the lease duration with its own
monotonic clock from the moment at which it observed the last change of the record. The holder measures it from before
it sent the renewal. The holder therefore always starts first, and stops before a standby may lead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gco_stream.model.objects import JsonObject
from gco_stream.model.times import MAX_EPOCH, parse_time

API_VERSION: Final = "coordination.k8s.io/v1"
MAX_TRANSITIONS: Final = 2**31 - 1

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# UUID at the end of gco-stream identities. It distinguishes them from those of GCO's monitor and from manual entries.
_GCO_STREAM_SUFFIX: Final = re.compile(r"_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
# GCO's monitor considers another monitor dead after this many missed cycles.
_LEGACY_CYCLES: Final = 3


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """Namespace and name of a Lease."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Returns `<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"

    @property
    def collection_path(self) -> str:
        """API path of the Leases in the namespace."""
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/leases"

    @property
    def path(self) -> str:
        """API path of the Lease."""
        return f"{self.collection_path}/{self.name}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing of an election, in seconds.

    `duration`: how long the Lease is valid after a renewal by gco-stream. `renew_deadline`: how long a leader that
    cannot renew the Lease keeps leading. `retry_period`: time between two renewals, or between two attempts to acquire
    the Lease. `legacy_interval`: time between two renewals by GCO's monitor.
    """

    duration: int
    renew_deadline: float
    retry_period: float
    legacy_interval: float

    @property
    def inactivity(self) -> float:
        """Seconds without events after which a watch is considered broken; every holder renews more often than that."""
        return max(2 * self.duration, 3 * self.legacy_interval)

    def expiry_seconds(self, record: "LeaderElectionRecord | None") -> float:
        """Returns the seconds without a change of the record after which its holder is considered dead.

        At least `duration`, because a gco-stream leader relies on it even if the record was edited manually.
        """
        recorded = max(self.duration, record.duration or 0) if record else self.duration
        if record and record.holder and not is_gco_stream_identity(record.holder):
            return max(recorded, _LEGACY_CYCLES * self.legacy_interval)
        return recorded


@dataclass(frozen=True, slots=True)
class LeaderElectionRecord:
    """Contents of a Lease.

    `holder` is empty if nobody holds the Lease. `duration` is in seconds, `acquired` and `renewed` are in microseconds
    since 1970.
    """

    uid: str
    holder: str = ""
    duration: int | None = None
    acquired: int | None = None
    renewed: int | None = None
    transitions: int = 0

    @property
    def released(self) -> bool:
        """Whether the Lease was released by gco-stream, so that there is no holder to wait for.

        A release removes the holder and renewTime but keeps acquireTime. A Lease that was cleared manually looks
        different, and its last holder may still be leading.
        """
        return not self.holder and self.renewed is None and self.acquired is not None


@dataclass(frozen=True, slots=True)
class ObservedRecord:
    """The Lease as last observed.

    `record` is None if there is no Lease. `acquirable_at`: local monotonic time, in seconds, from which the Lease may
    be acquired unless it changes again. `epoch`: highest acquireTime ever observed, in microseconds since 1970; it is
    kept even if the Lease is deleted.
    """

    record: LeaderElectionRecord | None
    acquirable_at: float
    epoch: int


def is_gco_stream_identity(identity: str) -> bool:
    """Returns whether the identity is that of a gco-stream replica and not of GCO's monitor."""
    return _GCO_STREAM_SUFFIX.search(identity) is not None


def observe(
    before: ObservedRecord | None, record: LeaderElectionRecord | None, now: float, timing: Timing
) -> ObservedRecord:
    """Returns the observation that follows `before` if `record` was read at the local monotonic time `now`.

    A Lease that never existed may be created at once. A deleted Lease may be created only after its last holder must
    have stopped.
    """
    epoch = max(before.epoch if before else 0, (record.acquired or 0) if record else 0)
    if before is None:
        is_free = record is None or record.released
        return ObservedRecord(record, now if is_free else now + timing.expiry_seconds(record), epoch)
    if record == before.record:
        return ObservedRecord(record, before.acquirable_at, epoch)
    if before.record is not None and (record is None or record.uid != before.record.uid):
        return ObservedRecord(
            record, now + max(timing.expiry_seconds(before.record), timing.expiry_seconds(record)), epoch
        )
    if record is not None and record.released:
        was_held = before.record is not None and before.record.holder != ""
        return ObservedRecord(record, now if was_held else max(now, before.acquirable_at), epoch)
    return ObservedRecord(record, now + timing.expiry_seconds(record), epoch)


def wait_before_acquiring(observed: ObservedRecord, now: float, identity: str, sent_epoch: int | None) -> float:
    """Returns the seconds until the Lease may be acquired; 0 if it may be acquired now.

    `sent_epoch` is the acquireTime that this process sent last. If the record has our identity and that time, this
    process wrote it (the response was lost, or the Lease was not renewed in time), so there is no other holder to wait
    for.
    """
    record = observed.record
    if record is not None and record.holder == identity and sent_epoch is not None and record.acquired == sent_epoch:
        return 0.0
    return max(0.0, observed.acquirable_at - now)


def is_held(observed: ObservedRecord, uid: str, identity: str) -> bool:
    """Returns whether the Lease with this uid still exists and `identity` holds it."""
    return observed.record is not None and observed.record.uid == uid and observed.record.holder == identity


def next_epoch(previous: int, now: int) -> int:
    """Returns the current time `now`, or the epoch after `previous` if that is later; at most MAX_EPOCH.

    Epochs and times are in microseconds since 1970.
    """
    return min(max(now, previous + 1), MAX_EPOCH)


def parse(raw: JsonObject) -> LeaderElectionRecord:
    """Parses a Lease object; missing or invalid fields are treated as unset."""
    spec = raw.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    return LeaderElectionRecord(
        uid=raw["metadata"]["uid"],
        holder=spec.get("holderIdentity") or "",
        duration=duration if isinstance(duration, int) and duration > 0 else None,
        acquired=_microseconds(spec.get("acquireTime")),
        renewed=_microseconds(spec.get("renewTime")),
        transitions=spec.get("leaseTransitions") or 0,
    )


def new_lease(namespace: str, name: str) -> JsonObject:
    """Returns a Lease without a spec."""
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": name, "namespace": namespace}}


def acquired(raw: JsonObject, identity: str, duration: int, epoch: int, now: int) -> JsonObject:
    """Returns `raw` with `identity` as its new holder; all other fields are kept."""
    spec = raw.get("spec") or {}
    transitions = spec.get("leaseTransitions") or 0
    if "uid" in raw["metadata"] and spec.get("holderIdentity") != identity:
        transitions = min(transitions + 1, MAX_TRANSITIONS)
    return _with_spec(
        raw,
        holderIdentity=identity,
        leaseDurationSeconds=duration,
        acquireTime=micro_time(epoch),
        renewTime=micro_time(now),
        leaseTransitions=transitions,
    )


def renewed(
    raw: JsonObject, duration: int, epoch: int, now: int, annotations: Mapping[str, str | None] | None = None
) -> JsonObject:
    """Returns `raw` as renewed by its holder, with `annotations` set (a None value removes one)."""
    # Standbys recognize a renewal by a changed record, so renewTime must change even if the clock did not advance.
    previous = parse(raw).renewed
    lease = _with_spec(
        raw,
        leaseDurationSeconds=duration,
        acquireTime=micro_time(epoch),
        renewTime=micro_time(now + 1 if now == previous else now),
    )
    if annotations:
        merged = {**annotations_of(raw), **annotations}
        lease["metadata"] = {
            **raw["metadata"],
            "annotations": {key: value for key, value in merged.items() if value is not None},
        }
    return lease


def released(raw: JsonObject, duration: int, epoch: int) -> JsonObject:
    """Returns `raw` as released by its holder.

    The duration is kept because GCO's monitor acquires the Lease without setting one. acquireTime is kept because the
    next holder's epoch must be higher.
    """
    return _with_spec(
        raw, holderIdentity="", leaseDurationSeconds=duration, acquireTime=micro_time(epoch), renewTime=None
    )


def annotations_of(raw: JsonObject | None) -> Mapping[str, str]:
    """Returns the Lease's annotations; empty if there is no Lease."""
    return (raw["metadata"].get("annotations") or {}) if raw else {}


def micro_time(epoch: int) -> str:
    """Formats microseconds since 1970 as a MicroTime; the server requires exactly six fractional digits."""
    return moment(epoch).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(epoch: int) -> datetime:
    """Converts microseconds since 1970 to a time in UTC."""
    return _UNIX_EPOCH + epoch * _MICROSECOND


def _microseconds(text: Any) -> int | None:
    time = parse_time(text)
    return None if time is None else (time - _UNIX_EPOCH) // _MICROSECOND


def _with_spec(raw: JsonObject, **changes: Any) -> JsonObject:
    return {**raw, "spec": {**(raw.get("spec") or {}), **changes}}
