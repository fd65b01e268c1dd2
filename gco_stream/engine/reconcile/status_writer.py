"""Reads and writes an endpoint's item during a reconcile: consistent reads, status reports, rollout completion, purge.

Every write is conditional, and the item that it returns updates the cache.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from gco_stream.aws.errors import Fenced, ItemNotFound
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.planning.types.plan import Report, TableChange
from gco_stream.table.endpoints import EndpointTable


class Epoch(Protocol):
    """The leader's fencing token, which orders its writes after those of earlier leaders."""

    @property
    def epoch(self) -> int:
        """This leader's epoch, in microseconds since 1970."""

    async def raise_epoch(self, above: int) -> int:
        """Raises the epoch above `above`, which was found in the table, and returns the new epoch."""


class StatusWriter:
    """Reads and writes the items of `table` on behalf of `region`. `now`: wall clock with a time zone.

    `on_write` is called with the kind of each successful write: status, promotion or purge.
    """

    def __init__(
        self,
        items: ItemCache,
        table: EndpointTable,
        region: str,
        epoch: Epoch,
        *,
        now: Callable[[], datetime],
        on_write: Callable[[str], None],
    ) -> None:
        self._items = items
        self._table = table
        self._region = region
        self._epoch = epoch
        self._now = now
        self._on_write = on_write

    async def read_if_stale(self, name: str) -> None:
        """Reads the item if the cached one is marked stale. Raises AWSError."""
        mark = self._items.stale_mark(name)
        if mark is None:
            return
        item = await self._table.get(name)
        if item is None:
            self._items.remove(name)
        else:
            self._items.put(item)
        self._items.clear_stale(name, mark)

    async def write(self, item: Endpoint | InvalidItem, report: Report) -> None:
        """Writes this region's entry of region_status. Raises AWSError.

        If the item does not exist, it is marked stale. If a newer status is stored, nothing is written, and this
        leader's epoch is raised above the epoch of that status.
        """
        status: dict[str, object] = {
            "state": str(report.state),
            "replicas_ready": report.ready,
            "replicas_desired": report.desired,
            "last_sync": self._now().isoformat(),
            "epoch": self._epoch.epoch,
            "intent": item.intent,
        }
        if report.error:
            status["error"] = report.error
            status["reason"] = str(report.reason)
        if report.warnings:
            status["warnings"] = [{"reason": str(one.reason), "message": one.message} for one in report.warnings]
        try:
            image = await self._table.write_status(item.name, self._region, status, self._epoch.epoch)
        except ItemNotFound:
            self._items.mark_stale(item.name)
        except Fenced as fenced:
            await self._epoch.raise_epoch(fenced.stored_epoch)
        else:
            self._on_write("status")
            self._items.put(image)

    async def change_table(self, name: str, change: TableChange) -> bool:
        """Completes the rollout or purges the item. Returns False if the item is no longer cached. Raises AWSError.

        If the item has changed since it was read, nothing is written and it is marked stale.
        """
        last_read = self._items.wire(name)
        if last_read is None:
            return False
        if change is TableChange.PURGE:
            if await self._table.purge(last_read):
                self._on_write("purge")
            self._items.mark_stale(name)
            return True
        image = await self._table.promote(last_read)
        if image is None:
            self._items.mark_stale(name)
        else:
            self._on_write("promotion")
            self._items.put(image)
        return True
