"""A table in pages, and the changes that only its scan finds."""

import asyncio
from collections.abc import AsyncIterator

from gco_stream.aws import errors as aws
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from tests.support.items import item


class Table:
    """Pages of items, by name. `breaks` makes a scan fail after its first page."""

    def __init__(self, *pages: tuple[str, ...]) -> None:
        self.pages = list(pages)
        self.breaks = False
        self.begun: list[float] = []

    async def scan(self) -> AsyncIterator[list[WireItem]]:
        self.begun.append(asyncio.get_running_loop().time())
        for number, page in enumerate(self.pages):
            if number and self.breaks:
                raise aws.Unreachable("incomplete page of the table scan", "BadBody")
            yield [wire.encode(item(name)) for name in page]


class ScanHistory:
    """The changes that only a scan found."""

    def __init__(self) -> None:
        self.found: list[tuple[str, WireItem | None, WireItem]] = []

    def record_scan_change(self, name: str, old: WireItem | None, new: WireItem) -> None:
        self.found.append((name, old, new))
