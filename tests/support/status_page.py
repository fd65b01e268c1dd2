"""Serves the status page with values that a test provides, as the program serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gco_stream.engine.state.endpoint_history import Change, EndpointHistory, Reconciled
from gco_stream.server.http import Health, serve
from gco_stream.server.page.routes import Page
from gco_stream.server.page.sse import ChangeBroadcaster
from gco_stream.server.page.view_models import (
    Endpoint,
    Event,
    Fleet,
    ObjectRow,
    RegionRow,
    Row,
    Shard,
    Site,
    Stream,
)

NOW = 1_795_000_000.0
NO_REPLICA = "no ready replicas"
SITE = Site(
    version="1.2.3",
    cluster="gco-us-east-1",
    region="us-east-1",
    identity="pod-a_1",
    leader="pod-a_1",
    leading=True,
    since=NOW - 90,
    is_working=True,
    stream=Stream(
        "stream", "reading the table's stream", "arn:table", (Shard("shardId-1", "reading", "42", 0.1, 0.2),)
    ),
)


def endpoint(name: str = "chat", text: str = "") -> Endpoint:
    """An endpoint with something in every place, and `text` in every place that others write."""
    return Endpoint(
        name=name,
        state="updating",
        headline=f"updating, 1 of 2 ready{text}",
        in_desired_state=False,
        reason="Progressing",
        held=True,
        desired=(("image", f"registry.example/serve:1.0{text}"), ("env", f"API_TOKEN{text}")),
        reports=(RegionRow(f"us-east-1{text}", "updating", f"1 of 2 ready{text}", True, True, NOW - 5),),
        objects=(
            ObjectRow(
                "Deployment", "gco-inference", name, "WouldChange", "would change", f"why{text}", (f"line{text}",)
            ),
        ),
        plan=(f"apply Deployment{text}",),
        waits_for=(f"promotion waits for eu-west-1{text}",),
        notes=(f"note{text}",),
        warnings=(f"warning{text}",),
        history=EndpointHistory(
            Change("MODIFY", f"42{text}", NOW - 9.7, NOW - 10, "item", NOW - 9.6),
            (Reconciled(NOW - 9, 3, "changed", (f"stream{text}",), "42", 0.012, (f"apply{text}",)),),
            NOW - 10,
        ),
        events=(
            Event(
                NOW - 8, True, f"RemovalLimitReached{text}", f"Deployment/{name}", f"note{text}", f"kubelet{text}", 2
            ),
        ),
    )


def rows(count: int) -> tuple[Row, ...]:
    """Returns `count` rows, of which every hundredth is out of sync."""
    return tuple(
        Row(
            f"e{number:05}",
            "running",
            "error",
            0,
            1,
            (("us-east-1", "error"),),
            "IngressWithdrawn",
            NO_REPLICA,
            NOW - 60,
        )
        if number % 100 == 7
        else Row(f"e{number:05}", "running", "running", 1, 1, (("us-east-1", "running"), ("eu-west-1", "running")))
        for number in range(count)
    )


def fleet(every: tuple[Row, ...]) -> Fleet:
    """Returns the fleet with these rows."""
    states = {row.state for row in every}
    counts = tuple((state, sum(row.state == state for row in every)) for state in sorted(states))
    return Fleet(every, tuple(row for row in every if row.reason), counts, (("us-east-1", counts),))


@dataclass
class Values:
    """A Source with values that a test sets."""

    shown: Site = SITE
    all: Fleet = field(default_factory=Fleet)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    bell: ChangeBroadcaster = field(default_factory=ChangeBroadcaster)
    port: int = 0

    def site(self) -> Site:
        return self.shown

    async def fleet(self) -> Fleet:
        return self.all

    async def endpoint(self, name: str) -> Endpoint | None:
        return self.endpoints.get(name)

    def now_has(self, row: Row) -> None:
        """Changes one endpoint and notifies the open pages."""
        self.all = fleet(tuple(row if one.name == row.name else one for one in self.all.rows))
        self.bell.notify(row.name)

    def now_is(self, **changes: Any) -> None:
        """Changes the state of the replica and notifies the open pages."""
        self.shown = replace(self.shown, **changes)
        self.bell.notify()

    @asynccontextmanager
    async def served(self, port: int = 0) -> AsyncIterator[str]:
        """Serves the page and yields its URL."""
        async with serve(
            "127.0.0.1",
            port,
            live=Health,
            ready=Health,
            metrics=lambda: b"metric 1\n",
            status=lambda: {"working": True},
            page=Page(self, self.bell),
        ) as self.port:
            yield f"http://127.0.0.1:{self.port}"
