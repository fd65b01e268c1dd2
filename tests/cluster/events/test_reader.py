"""Recent events are read from every form in which the API server returns them."""

from typing import Any

import pytest

from gco_stream.cluster.events.reader import list_events

NOON = "2026-11-21T12:00:00Z"


class Api:
    """Client that returns events and records its requests."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.asked: list[tuple[str, str]] = []

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        assert method == "GET"
        self.asked.append((path, options["query"]["fieldSelector"]))
        return {"items": self.items}


def event(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": NOON}, "regarding": {"kind": "Deployment", "name": "chat"}, **fields}


async def read(*items: dict[str, Any]) -> list[Any]:
    return list(await list_events(Api(*items), "gco-inference", ("chat",), timeout=1))  # type: ignore[arg-type]  # a fake with only the methods that are called


@pytest.mark.parametrize(
    ("fields", "at", "count"),
    [
        ({"eventTime": "2026-11-21T12:00:01.000000Z"}, "2026-11-21T12:00:01.000000Z", 1),
        ({"deprecatedLastTimestamp": "2026-11-21T12:00:02Z", "deprecatedCount": 7}, "2026-11-21T12:00:02Z", 7),
        (
            {"series": {"count": 3, "lastObservedTime": "2026-11-21T12:00:03.000000Z"}, "eventTime": NOON},
            "2026-11-21T12:00:03.000000Z",
            3,
        ),
        ({}, NOON, 1),
    ],
)
async def test_the_time_and_count_are_those_of_the_last_occurrence(fields: dict[str, Any], at: str, count: int) -> None:
    (found,) = await read(event(**fields))
    assert (found.at, found.count, found.about) == (at, count, "Deployment/chat")


async def test_the_newest_event_is_first() -> None:
    found = await read(event(reason="Old", eventTime="2026-11-20T12:00:00Z"), event(reason="New", eventTime=NOON))
    assert [one.reason for one in found] == ["New", "Old"]


@pytest.mark.parametrize(
    "odd", [{"note": None, "series": None, "regarding": None}, {"note": 7, "type": 5}, {"note": "\x1b[2J" + "x" * 9000}]
)
async def test_invalid_fields_are_left_out(odd: dict[str, Any]) -> None:
    (found,) = await read({**event(), **odd})
    assert len(found.note) <= 600
    assert "\x1b" not in found.note


async def test_events_are_requested_for_each_name_in_the_namespace() -> None:
    api = Api()
    await list_events(api, "team-a", ("chat", "inference-chat"), timeout=1)  # type: ignore[arg-type]  # a fake with only the methods that are called
    path = "/apis/events.k8s.io/v1/namespaces/team-a/events"
    assert api.asked == [(path, "regarding.name=chat"), (path, "regarding.name=inference-chat")]
