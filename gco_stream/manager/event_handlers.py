"""Turns events into keys on the work queue: stream records, cluster changes, and approvals in the Lease.

A handler decides only whether an endpoint may need work. The worker that processes the key reads the item itself.
"""

import structlog

from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.item_cache import ChangeKind, ItemCache
from gco_stream.engine.workqueue.queue import Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.planning.lifecycle.promotion import may_complete_or_purge
from gco_stream.stream.consumer import Mode, StreamRecord

_log = structlog.get_logger(__name__)

_TABLE_CHANGE_DELAY = 1.0


class EventHandlers:
    """The RecordProcessor of the stream consumer, and the handlers of cluster and Lease changes."""

    def __init__(self, items: ItemCache, queue: WorkQueue, guard: Guard, resync: Resync, observers: Observers) -> None:
        self._items = items
        self._queue = queue
        self._guard = guard
        self._resync = resync
        self._metrics = observers.metrics
        self._history = observers.history

    def on_record(self, record: StreamRecord) -> None:
        """Queues the endpoint if the record changes more than its status, or if all regions may have reported."""
        self._metrics.records.labels(record.event).inc()
        _log.debug(
            "stream record",
            endpoint=record.name,
            change=record.event,
            record=record.sequence_number,
            shard=record.shard_id,
            created=record.created,
        )
        self._resync.change_delivered(record.name)
        if record.event != "REMOVE":
            self._guard.orphans.item_seen(record.name)
        elif self._guard.orphans.item_removed(record.name):
            self._resync.request_soon()
        image = None if record.event == "REMOVE" else record.new
        change = self._items.observe_record(record.name, image)
        self._history.record_change(record, known=change is not ChangeKind.CHANGED)
        if change is ChangeKind.CHANGED:
            self._queue.add(record.name, Priority.HIGH, Trigger.STREAM, (record.sequence_number,))
        elif change is ChangeKind.STATUS_ONLY and image is not None and may_complete_or_purge(image):
            # The region that reports last acts at once. This covers reports of other regions, and a last region that
            # has failed since.
            self._queue.add_after(record.name, _TABLE_CHANGE_DELAY, Trigger.ALL_REPORTED)

    def on_gap(self, reason: str) -> None:
        """Requests a scan, because the stream may have missed records."""
        self._metrics.gaps.inc()
        self._resync.request(reason)

    def on_mode(self, mode: Mode, reason: str) -> None:
        """Switches the resync to the scan interval of the new mode."""
        self._resync.set_mode(mode)
        self._metrics.set_mode(mode)
        if mode == "poll":
            _log.warning(
                "stream is unavailable; polling the table",
                reason=reason,
                hint="if the table has no stream, run: gco-stream table enable-stream",
            )
        else:
            _log.info("receiving changes from the stream", reason=reason)

    def on_call(self, operation: str, result: str, seconds: float) -> None:
        """Records the metrics of a call to DynamoDB Streams."""
        self._metrics.api_calls.aws("streams", operation, result, seconds)

    def on_cluster_change(self, keys: frozenset[str]) -> None:
        """Queues the endpoints whose objects have changed in the cluster."""
        for name in keys:
            if name in self._items or name in self._guard.held:
                self._queue.add(name, Priority.HIGH, Trigger.CLUSTER)
            for waiter in self._items.paths.waiters_of(name):
                self._queue.add(waiter, Priority.LOW, Trigger.INGRESS_PATH)

    def on_lease_change(self) -> None:
        """Queues the endpoints whose removal may be permitted by a new approval in the Lease."""
        for name in self._guard.newly_approved():
            self._queue.add(name, Priority.HIGH, Trigger.APPROVAL)
