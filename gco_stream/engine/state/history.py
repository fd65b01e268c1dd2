"""What happened to each endpoint lately: a bounded memory for people who look, never read by a decision.

Only endpoints that something happened to are in it. A reconcile is kept as packed bytes, one that repeats the last is
counted instead, and an endpoint's reconciles together have a limit in bytes: 10,000 endpoints in trouble take 20 MB.
"""

import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import orjson

from gco_stream.engine.reconcile.reconciler import Outcome, Result
from gco_stream.engine.state.endpoint_history import Change, Reconciled, Story
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model.endpoint import RegionState
from gco_stream.model.text import shown
from gco_stream.model.wire import WireItem
from gco_stream.stream.consumer import StreamRecord

MOST_RECONCILES: Final = 10
MOST_BYTES: Final = 900
_MOST_ENDPOINTS: Final = 10_000
# Of one reconcile's words: of what is told, and in all.
_LONGEST_LINE: Final = 280
_MOST_WORDS: Final = 600
_MOST_TRIGGERS: Final = 4
_LONGEST_TRIGGER: Final = 60
_LONGEST_SEQUENCE: Final = 40
# Of one record: when it was made last, and how often in a row.
_HEAD: Final = struct.Struct("<dI")
_FINAL: Final = frozenset({RegionState.RUNNING, RegionState.STOPPED, RegionState.DELETED})
_NOT_ASKED: Final = frozenset({"region_status", "updated_at"})
_STATE: Final = "desired_state"
_PROMOTED: Final = ({"S": "deploying"}, {"S": "running"})
# An item's time is believed if the stream could have brought it by then: clocks differ, and people copy items.
_OLDEST_CHANGE: Final = 300.0
_CLOCKS_DIFFER: Final = 1.0


@dataclass(slots=True)
class _Entry:
    change: Change | None = None
    wrong_since: float | None = None
    records: tuple[bytes, ...] = ()
    said: int = 0
    # When a plan was carried out last, and when and to what the endpoint came last.
    applied: float | None = None
    ended: tuple[float, str] | None = None


def _ignore(_: object) -> None:
    pass


class Journal:
    """The stories of the endpoints that something happened to last. `now` gives seconds since 1970.

    `on_applied` and `on_ready` get the seconds from a change to its objects' acceptance, and from there to readiness;
    `on_news` the name of an endpoint whose story has grown.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        on_applied: Callable[[float], None] = _ignore,
        on_ready: Callable[[float], None] = _ignore,
        on_news: Callable[[str], None] = _ignore,
        most: int = _MOST_ENDPOINTS,
    ) -> None:
        self._now = now
        self._on_applied = on_applied
        self._on_ready = on_ready
        self._on_news = on_news
        self._most = most
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def changed(self, record: StreamRecord, *, known: bool = False) -> None:
        """The stream has told of a change to what is asked. Of one that was `known` before, the item was read already:
        the answer to a write of ours, or a scan, was faster.
        """
        if _changes_nothing(record.old, record.new) or (
            record.event == "REMOVE" and self._has_ended(record.name, RegionState.DELETED)
        ):
            return
        read = self._now()
        changed, clock = _moment(record.old, record.new, record.created, read)
        entry = self._entry(record.name)
        if known and entry.change is not None and (changed or 0.0) < (entry.change.changed or 0.0):
            # A record that comes again: a shard is read anew.
            return
        entry.change = change = Change(record.event, record.sequence_number[:_LONGEST_SEQUENCE], read, changed, clock)
        if known and changed is not None:
            self._catch_up(change, entry, changed)
        self._on_news(record.name)

    def found(self, name: str, old: WireItem | None, new: WireItem) -> None:
        """A scan has shown a change of what was known before, where no stream tells of changes."""
        if _changes_nothing(old, new):
            return
        read = self._now()
        changed, clock = _moment(old, new, None, read)
        self._entry(name).change = Change("scan", "", read, changed, clock)
        self._on_news(name)

    def _catch_up(self, change: Change, entry: _Entry, changed: float) -> None:
        """Gives a change what had been done for it before the stream told of it."""
        if entry.applied is not None and entry.applied >= changed:
            change.applied = entry.applied
            change.read = min(change.read, entry.applied)
        since = change.applied if change.applied is not None else changed
        if entry.ended is not None and entry.ended[0] >= since:
            self._settle(change, entry.ended[1], entry.ended[0])

    def applied(self, name: str) -> None:
        """The API server has accepted every object of a plan that was made of the newest item."""
        entry = self._entries.get(name) or self._entry(name)
        entry.applied = self._now()
        if (change := entry.change) is not None and not (change.ended or change.counted):
            change.applied = entry.applied

    def reconciled(
        self, name: str, triggers: tuple[Trigger, ...], outcome: Outcome, *, took: float, current: bool
    ) -> None:
        """A reconcile has ended. `current`: it was made of the newest item that is known of."""
        ended = _ended(outcome)
        entry = self._entries.get(name)
        # Later records of the same change are echoes of our own reports.
        asked = entry.change if entry is not None and Trigger.STREAM in triggers else None
        led = asked is not None and not asked.ended
        if entry is not None and current:
            entry.ended = (self._now(), ended) if ended else None
            if entry.change is not None:
                self._settle(entry.change, ended, self._now())
        told = bool(outcome.steps or outcome.errors or outcome.result is Result.GONE or led)
        if entry is None and ended and not told:
            return
        if entry is None:
            entry = self._entry(name)
        if ended:
            entry.wrong_since = None
        elif entry.wrong_since is None:
            entry.wrong_since = self._now()
        said = hash(str(outcome.made.report)) if outcome.made is not None else entry.said
        if told or said != entry.said:
            entry.said = said
            sequence = asked.sequence_number if asked is not None and led else ""
            entry.records = _with(entry.records, self._now(), _packed(triggers, outcome, sequence, took))
        self._on_news(name)

    def story(self, name: str) -> Story | None:
        """What is remembered of an endpoint."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return Story(entry.change, tuple(map(_unpacked, reversed(entry.records))), entry.wrong_since)

    def wrong_since(self, name: str) -> float | None:
        """Since when an endpoint has not been as asked, as far as this process has seen."""
        entry = self._entries.get(name)
        return None if entry is None else entry.wrong_since

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry()
        else:
            self._entries.move_to_end(name)
        while len(self._entries) > self._most:
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


def _ended(outcome: Outcome) -> str:
    """What the endpoint has come to: running, stopped, deleted, gone; "" where it is not yet, or not as asked."""
    if outcome.result is Result.GONE:
        return "gone"
    made = outcome.made
    if made is None or outcome.errors or made.held_back is not None:
        return ""
    if made.report is None:
        return "not meant for this region"
    return str(made.report.state) if made.report.state in _FINAL and not made.report.error else ""


def _changes_nothing(before: WireItem | None, after: WireItem | None) -> bool:
    """Whether nobody asks for anything else by it: a report of a region, or a promotion that all have agreed on."""
    if before is None or after is None:
        return False
    old, new = ({name: value for name, value in image.items() if name not in _NOT_ASKED} for image in (before, after))
    if (old.get(_STATE), new.get(_STATE)) == _PROMOTED:
        del old[_STATE], new[_STATE]
    return old == new


def _moment(
    before: WireItem | None, after: WireItem | None, created: datetime | None, read: float
) -> tuple[float | None, Literal["item", "stream", ""]]:
    """When a change was made, and by whose clock. The stream's time is rounded down: to a second, in DynamoDB Local to
    a minute.
    """
    new, old = _updated_at(after), _updated_at(before)
    if new and new != old:
        try:
            changed = datetime.fromisoformat(new)
        except ValueError:
            changed = None
        if changed is not None:
            at = (changed if changed.tzinfo else changed.replace(tzinfo=UTC)).timestamp()
            if read - _OLDEST_CHANGE <= at <= read + _CLOCKS_DIFFER:
                return min(at, read), "item"
    if created is None:
        return None, ""
    return min(created.timestamp(), read), "stream"


def _updated_at(image: object) -> str:
    value = image.get("updated_at") if isinstance(image, dict) else None
    text = value.get("S") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _packed(triggers: tuple[Trigger, ...], outcome: Outcome, sequence: str, took: float) -> bytes:
    told = [*map(str, outcome.steps), *map(str, outcome.errors)]
    if outcome.made is not None and outcome.made.report is not None and not outcome.errors:
        told.append(f"reported: {outcome.made.report}")
    why = [shown(trigger, _LONGEST_TRIGGER) for trigger in triggers[:_MOST_TRIGGERS]]
    return orjson.dumps([outcome.result, why, sequence, _within(_MOST_WORDS, told), round(took, 4)])


def _within(most: int, told: list[str]) -> list[str]:
    """As many lines as there is room for, in bytes; the last one says how many are left out."""
    lines: list[str] = []
    for number, line in enumerate(told):
        cut = shown(line, _LONGEST_LINE)
        if len(cut.encode()) > _LONGEST_LINE:
            cut = cut.encode()[: _LONGEST_LINE - len("…".encode())].decode(errors="ignore").removesuffix("…") + "…"
        most -= len(cut.encode())
        if most < 0:
            return [*lines, f"and {len(told) - number} more"]
        lines.append(cut)
    return lines


def _with(records: tuple[bytes, ...], at: float, packed: bytes) -> tuple[bytes, ...]:
    """The records and one more, within the limits; one that is as the last, but for its time, is counted with it."""
    if records and _alike(records[-1][_HEAD.size :], packed):
        _, times = _HEAD.unpack_from(records[-1])
        return (*records[:-1], _HEAD.pack(at, times + 1) + packed)
    kept = (*records, _HEAD.pack(at, 1) + packed)[-MOST_RECONCILES:]
    while len(kept) > 1 and sum(map(len, kept)) > MOST_BYTES:
        kept = kept[1:]
    return kept


def _alike(one: bytes, other: bytes) -> bool:
    return one[: one.rfind(b",")] == other[: other.rfind(b",")]


def _unpacked(record: bytes) -> Reconciled:
    at, times = _HEAD.unpack_from(record)
    result, triggers, sequence, lines, took = orjson.loads(record[_HEAD.size :])
    return Reconciled(at, times, result, _texts(triggers), sequence, took, _texts(lines))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)
