"""The recent history of endpoints, for the status page and metrics. No decision depends on it.

It contains only endpoints with recent events. A repetition of the last reconcile is only counted. The worst case is
10,000 endpoints that fail differently each time: 37 MB with one short error per record (10 records per endpoint), 30 MB
with errors of 170 characters (6 records), measured with tracemalloc on CPython 3.11.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.engine.state.endpoint_history import Change, EndpointHistory, Reconciled
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.text import truncate
from gco_stream.model.times import parse_time
from gco_stream.model.wire import WireItem
from gco_stream.stream.consumer import StreamRecord

MAX_RECONCILES: Final = 10
_MAX_ENDPOINTS: Final = 10_000
# Limits in characters: per line, on the text of one reconcile, and on that of all reconciles of an endpoint.
_MAX_LINE_LENGTH: Final = 280
_MAX_TEXT_LENGTH: Final = 500
_MAX_TEXTS_LENGTH: Final = 1000
_MAX_TRIGGERS: Final = 4
_MAX_SEQUENCE_LENGTH: Final = 40
_FINAL: Final = frozenset({RegionState.RUNNING, RegionState.STOPPED, RegionState.DELETED})
_NOT_DESIRED_STATE: Final = frozenset({"region_status", "updated_at"})
_STATE: Final = "desired_state"
_PROMOTED: Final = ({"S": "deploying"}, {"S": "running"})
# Limits in seconds within which an item's updated_at is trusted: it may be old if the item was copied, and in the
# future if clocks differ.
_MAX_CHANGE_AGE: Final = 300.0
_MAX_CLOCK_SKEW: Final = 1.0


@dataclass(slots=True)
class _Entry:
    change: Change | None = None
    out_of_sync_since: float | None = None
    records: tuple[Reconciled, ...] = ()
    report_hash: int = 0
    # `applied`: when a plan was last executed. `ended`: when the endpoint reached its end state, and that state.
    applied: float | None = None
    ended: tuple[float, str] | None = None


def _ignore(_: object) -> None:
    pass


class ReconcileHistory:
    """Histories of the endpoints with the most recent events. `now` returns seconds since 1970.

    `on_applied` gets the seconds from a change until the API server has accepted its objects, and `on_ready` the
    seconds from then until the endpoint is ready. `on_update` gets the name of each endpoint whose history changes.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        on_applied: Callable[[float], None] = _ignore,
        on_ready: Callable[[float], None] = _ignore,
        on_update: Callable[[str], None] = _ignore,
        max_endpoints: int = _MAX_ENDPOINTS,
    ) -> None:
        self._now = now
        self._on_applied = on_applied
        self._on_ready = on_ready
        self._on_update = on_update
        self._max_endpoints = max_endpoints
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def record_change(self, record: StreamRecord, *, known: bool = False) -> None:
        """Records a change of the desired state that the stream delivered.

        `known`: a read or the response to one of our own writes had already brought this change into the cache.
        """
        if _changes_nothing(record.old, record.new) or (
            record.event == "REMOVE" and self._has_ended(record.name, RegionState.DELETED)
        ):
            return
        read = self._now()
        changed, clock = _time_of_change(record.old, record.new, record.created, read)
        entry = self._entry(record.name)
        if known and entry.change is not None and (changed or 0.0) < (entry.change.changed or 0.0):
            # The record was delivered before: its shard is being read again.
            return
        entry.change = change = Change(
            record.event, record.sequence_number[:_MAX_SEQUENCE_LENGTH], read, changed, clock
        )
        if known and changed is not None:
            self._catch_up(change, entry, changed)
        self._on_update(record.name)

    def record_scan_change(self, name: str, old: WireItem | None, new: WireItem) -> None:
        """Records a change that a scan found while no stream delivers changes."""
        if _changes_nothing(old, new):
            return
        read = self._now()
        changed, clock = _time_of_change(old, new, None, read)
        self._entry(name).change = Change("scan", "", read, changed, clock)
        self._on_update(name)

    def _catch_up(self, change: Change, entry: _Entry, changed: float) -> None:
        """Adds the times of what was done for a change before the stream delivered it."""
        if entry.applied is not None and entry.applied >= changed:
            change.applied = entry.applied
            change.read = min(change.read, entry.applied)
        since = change.applied if change.applied is not None else changed
        if entry.ended is not None and entry.ended[0] >= since:
            self._settle(change, entry.ended[1], entry.ended[0])

    def record_applied(self, name: str) -> None:
        """Records that the API server has accepted all steps of a plan made from the newest known item."""
        entry = self._entries.get(name) or self._entry(name)
        entry.applied = self._now()
        if (change := entry.change) is not None and not (change.ended or change.counted):
            change.applied = entry.applied

    def record_reconcile(
        self, name: str, triggers: tuple[Trigger, ...], outcome: ReconcileResult, *, took: float, current: bool
    ) -> None:
        """Records a reconcile. `took`: its duration in seconds. `current`: it used the newest known item."""
        ended = _ended(outcome)
        entry = self._entries.get(name)
        # After the change has ended, further stream records are only echoes of our own status reports.
        change = entry.change if entry is not None and Trigger.STREAM in triggers else None
        is_first = change is not None and not change.ended
        if entry is not None and current:
            entry.ended = (self._now(), ended) if ended else None
            if entry.change is not None:
                self._settle(entry.change, ended, self._now())
        notable = bool(outcome.steps or outcome.errors or outcome.result is Result.GONE or is_first)
        if entry is None and ended and not notable:
            return
        if entry is None:
            entry = self._entry(name)
        if ended:
            entry.out_of_sync_since = None
        elif entry.out_of_sync_since is None:
            entry.out_of_sync_since = self._now()
        report_hash = hash(str(outcome.plan.report)) if outcome.plan is not None else entry.report_hash
        if notable or report_hash != entry.report_hash:
            entry.report_hash = report_hash
            sequence = change.sequence_number if change is not None and is_first else ""
            record = Reconciled(
                self._now(), 1, outcome.result, triggers[:_MAX_TRIGGERS], sequence, round(took, 4), _lines(outcome)
            )
            entry.records = _appended(entry.records, record)
        self._on_update(name)

    def history(self, name: str) -> EndpointHistory | None:
        """Returns the history of an endpoint, or None if there is none."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return EndpointHistory(entry.change, tuple(reversed(entry.records)), entry.out_of_sync_since)

    def out_of_sync_since(self, name: str) -> float | None:
        """Returns when the endpoint went out of sync, or None if it is in sync or has no history."""
        entry = self._entries.get(name)
        return None if entry is None else entry.out_of_sync_since

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry()
        else:
            self._entries.move_to_end(name)
        while len(self._entries) > self._max_endpoints:
            self._entries.popitem(last=False)
        return entry

    def _has_ended(self, name: str, ended: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.change is not None and entry.change.ended == ended

    def _settle(self, change: Change, ended: str, at: float) -> None:
        if change.applied is not None and not change.counted:
            change.counted = True
            if change.changed is not None:
                self._on_applied(max(0.0, change.applied - change.changed))
        if change.ended or not ended:
            return
        change.ended = ended
        if change.applied is None:
            return
        change.ready = at
        if ended == RegionState.RUNNING:
            self._on_ready(max(0.0, at - change.applied))


def _ended(outcome: ReconcileResult) -> str:
    """Returns the end state that the endpoint has reached, or "" if it is still in progress or out of sync."""
    if outcome.result is Result.GONE:
        return "gone"
    plan = outcome.plan
    if plan is None or outcome.errors or plan.limited_by is not None:
        return ""
    if plan.report is None:
        return "not a target region"
    return str(plan.report.state) if plan.report.state in _FINAL and not plan.report.error else ""


def _changes_nothing(before: WireItem | None, after: WireItem | None) -> bool:
    """Returns whether the desired state is unchanged: only a region has reported, or the rollout was completed."""
    if before is None or after is None:
        return False
    old, new = (
        {name: value for name, value in image.items() if name not in _NOT_DESIRED_STATE} for image in (before, after)
    )
    if (old.get(_STATE), new.get(_STATE)) == _PROMOTED:
        del old[_STATE], new[_STATE]
    return old == new


def _time_of_change(
    before: WireItem | None, after: WireItem | None, created: datetime | None, read: float
) -> tuple[float | None, Literal["item", "stream", ""]]:
    """Returns when a change was made, in seconds since 1970 or None if unknown, and the source of that time.

    The stream rounds its time down to a second, and DynamoDB Local rounds it down to a minute.
    """
    new, old = _updated_at(after), _updated_at(before)
    if new and new != old:
        changed = parse_time(new)
        if changed is not None and read - _MAX_CHANGE_AGE <= changed.timestamp() <= read + _MAX_CLOCK_SKEW:
            return min(changed.timestamp(), read), "item"
    if created is None:
        return None, ""
    return min(created.timestamp(), read), "stream"


def _updated_at(image: object) -> str:
    value = image.get("updated_at") if isinstance(image, dict) else None
    text = value.get("S") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _truncated(given: list[str]) -> tuple[str, ...]:
    """Returns the lines that fit into the limits. A last line counts those left out."""
    lines: list[str] = []
    left = _MAX_TEXT_LENGTH
    for number, line in enumerate(given):
        cut = truncate(line, _MAX_LINE_LENGTH)
        left -= len(cut)
        if left < 0:
            return (*lines, f"and {len(given) - number} more")
        lines.append(cut)
    return tuple(lines)


def _lines(outcome: ReconcileResult) -> tuple[str, ...]:
    lines = [*map(str, outcome.steps), *map(str, outcome.errors)]
    if outcome.plan is not None and outcome.plan.report is not None and not outcome.errors:
        lines.append(f"reported: {outcome.plan.report}")
    return _truncated(lines)


def _appended(records: tuple[Reconciled, ...], new: Reconciled) -> tuple[Reconciled, ...]:
    """Returns the records with a new one appended, without the oldest ones that exceed the limits.

    If the new record differs from the last one only in its duration, it is counted instead of appended.
    """
    if records and replace(new, at=records[-1].at, times=records[-1].times, took=records[-1].took) == records[-1]:
        return (*records[:-1], replace(new, times=records[-1].times + 1))
    kept = (*records, new)[-MAX_RECONCILES:]
    while sum(len(line) for one in kept for line in one.lines) > _MAX_TEXTS_LENGTH:
        kept = kept[1:]
    return kept
