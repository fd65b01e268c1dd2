"""Detects that the table was deleted and recreated: an item that is missing from the new table proves nothing.

The new table has the same name and ARN, so the leader remembers the table's ID in an annotation of the Lease. Once two
complete scans of the new table in a row find nothing to remove, the new ID is remembered.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from gco_stream.engine.deletion.budget import LeaseAnnotations

TABLE_ID_ANNOTATION: Final = "gco.io/table-id"

_log = structlog.get_logger(__name__)


def is_recreated(annotations: Mapping[str, str], table_id: str) -> bool:
    """Returns whether the Lease remembers another table than this one."""
    return annotations.get(TABLE_ID_ANNOTATION, table_id) != table_id


class TableIdentity:
    """Compares the table with the remembered one. `describe` returns the ID of the table; it raises AWSError.

    `is_checked`: the table was compared at least once. `is_recreated`: it is not the remembered one.
    """

    def __init__(self, lease: LeaseAnnotations, describe: Callable[[], Awaitable[str]]) -> None:
        self._lease = lease
        self._describe = describe
        self.is_checked = False
        self.is_recreated = False

    async def check(self) -> None:
        """Compares the table with the remembered one, and remembers the first. Raises AWSError, ClusterError."""
        table_id = await self._describe()
        if TABLE_ID_ANNOTATION not in self._lease.annotations:
            await self._remember(table_id)
        was_recreated, self.is_recreated = self.is_recreated, is_recreated(self._lease.annotations, table_id)
        self.is_checked = True
        if self.is_recreated and not was_recreated:
            _log.warning(
                "table was recreated; removals that no item requests need an approval",
                hint="restore the missing items, or review them with: gco-stream approve-deletes",
            )

    async def accept(self) -> None:
        """Remembers the recreated table, because nothing would be removed. Raises AWSError, ClusterError."""
        await self._remember(await self._describe())
        self.is_recreated = False
        _log.info("recreated table has every item; removals are limited as before")

    async def _remember(self, table_id: str) -> None:
        await self._lease.annotate({TABLE_ID_ANNOTATION: table_id})
