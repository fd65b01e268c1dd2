import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.cluster.api import errors
from gco_stream.cluster.events.recorder import MAX_NOTE, EventRecorder, truncate_note
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.model.objects import JsonObject, Kind, ObjectRef

pytestmark = pytest.mark.looptime(noop_cycles=2)

WALL = 1_763_000_000_000_000
LLM = ObjectRef(Kind.DEPLOYMENT, "gco-inference", "llm")


class EventServer:
    """Stores events as the API server does; `failures` are raised first."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.failures: list[errors.ClusterError] = []
        self.lost_answers = 0
        self.calls: list[tuple[float, str]] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - same signature as the client
    ) -> dict[str, Any]:
        del query, timeout
        self.calls.append((asyncio.get_running_loop().time(), method))
        await asyncio.sleep(0.001)
        if self.failures:
            raise self.failures.pop(0)
        sent = body or {}
        prefix = "/apis/events.k8s.io/v1/namespaces/gco-inference/events"
        if method == "POST":
            assert path == prefix
            name = sent["metadata"]["name"]
            if name in self.events:
                raise errors.Conflict(409, "AlreadyExists", "exists")
            self.events[name] = sent
        else:
            assert (method, content_type) == ("PATCH", "application/merge-patch+json")
            name = path.removeprefix(f"{prefix}/")
            if name not in self.events:
                raise errors.NotFound(404, "NotFound", "not found")
            self.events[name].update(sent)
        if self.lost_answers:
            self.lost_answers -= 1
            raise errors.Unreachable(0, "", "no answer")
        return self.events[name]


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def recording(server: Any, instance: str = "pod-a_1") -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(server, instance=instance, clock=now, wall=lambda: WALL + int(now() * 1e6))
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def emit(recorder: EventRecorder, note: str = "image cannot be pulled", ref: ObjectRef = LLM) -> None:
    recorder.emit(ref, "uid-1", "Warning", "ImagePull", note)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(2000):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.05)


async def test_an_event_has_all_fields_that_the_api_requires() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        emit(recorder)
        await until(lambda: server.events)
    [event] = server.events.values()
    name = event["metadata"].pop("name")
    assert name.startswith("llm.")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "gco-inference"},
        "eventTime": lease.micro_time(WALL),
        "type": "Warning",
        "reason": "ImagePull",
        "action": "Reconcile",
        "note": "image cannot be pulled",
        "regarding": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "gco-inference",
            "name": "llm",
            "uid": "uid-1",
        },
        "reportingController": "gco-stream",
        "reportingInstance": "pod-a_1",
    }


@given(st.text())
def test_a_note_is_cut_to_the_servers_limit_in_bytes(text: str) -> None:
    for note in (text, text * 400):
        kept = truncate_note(note)
        assert len(kept.encode()) <= MAX_NOTE
        if len(note.encode("utf-8", "replace")) <= MAX_NOTE:
            assert kept == note.encode("utf-8", "replace").decode()
        else:
            assert kept.endswith("…")
            assert note.encode("utf-8", "replace").decode().startswith(kept[:-1])


async def test_repeats_increment_one_event_and_are_written_rarely() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        for _ in range(240):
            emit(recorder)
            await asyncio.sleep(15)
    [event] = server.events.values()
    assert 200 <= event["series"]["count"] <= 240
    assert len(event["series"]["lastObservedTime"]) == len("2025-11-13T02:13:20.123456Z")
    assert len(server.calls) <= 7


async def test_the_first_write_includes_earlier_repeats() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        for _ in range(3):
            emit(recorder)
        await until(lambda: server.events)
    [event] = server.events.values()
    assert event["series"]["count"] == 3
    assert [method for _, method in server.calls] == ["POST"]


async def test_any_difference_makes_another_event() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        emit(recorder, "a")
        emit(recorder, "b")
        recorder.emit(LLM, "uid-2", "Warning", "ImagePull", "a")
        recorder.emit(LLM, "uid-1", "Normal", "ImagePull", "a")
        await until(lambda: len(server.events) == 4)
    assert all("series" not in event for event in server.events.values())


async def test_an_expired_event_is_recreated() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        emit(recorder)
        await until(lambda: server.events)
        server.events.clear()
        await asyncio.sleep(700)
        emit(recorder)
        await until(lambda: server.events)
    [event] = server.events.values()
    assert "series" not in event
    assert event["eventTime"] > lease.micro_time(WALL + 600 * 10**6)


async def test_a_repeat_hours_later_is_a_new_event() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        emit(recorder)
        await asyncio.sleep(7200)
        emit(recorder)
        await until(lambda: len(server.events) == 2)


async def test_failures_are_retried_and_a_lost_response_creates_no_second_event() -> None:
    server = EventServer()
    server.failures = [errors.ServerError(500, "", "etcd")]
    server.lost_answers = 1
    async with recording(server) as recorder:
        emit(recorder)
        await until(lambda: len(server.calls) == 3)
        await asyncio.sleep(60)
        assert len(server.events) == 1
        assert recorder.dropped == 0


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (errors.Forbidden(403, "Forbidden", "no"), 1),
        (errors.NotFound(404, "NotFound", "no namespace"), 1),
        (errors.Rejected(422, "Invalid", "note"), 1),
        (errors.Unreachable(0, "", "no answer"), 3),
    ],
)
async def test_an_event_that_cannot_be_written_is_dropped_and_the_next_is_written(
    failure: errors.ClusterError, calls: int
) -> None:
    server = EventServer()
    server.failures = [failure] * calls
    async with recording(server) as recorder:
        emit(recorder, "first")
        emit(recorder, "second")
        await until(lambda: server.events)
        assert recorder.dropped == 1
    assert [event["note"] for event in server.events.values()] == ["second"]
    assert len(server.calls) == calls + 1


async def test_the_rate_and_the_queue_are_bounded() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        for number in range(5000):
            emit(recorder, ref=ObjectRef(Kind.DEPLOYMENT, "gco-inference", f"llm-{number}"))
        await asyncio.sleep(10)
        assert len(server.calls) <= 50 + 10 * 5 + 1
        await asyncio.sleep(1000)
        assert len(server.events) + recorder.dropped == 5000
        assert len(server.events) == 500


async def test_one_flapping_object_leaves_room_for_the_others() -> None:
    server = EventServer()
    async with recording(server) as recorder:
        for number in range(1000):
            emit(recorder, f"flap {number}")
        emit(recorder, ref=ObjectRef(Kind.DEPLOYMENT, "gco-inference", "other"))
        await asyncio.sleep(60)
    notes = [event["regarding"]["name"] for event in server.events.values()]
    assert notes.count("llm") == 25
    assert notes.count("other") == 1


async def test_long_names_are_cut_to_the_servers_limits() -> None:
    server = EventServer()
    async with recording(server, instance="p" * 300) as recorder:
        recorder.emit(LLM, "", "Normal", "R" * 300, "note")
        await until(lambda: server.events)
    [event] = server.events.values()
    assert (len(event["reportingInstance"]), len(event["reason"])) == (128, 128)
    assert "uid" not in event["regarding"]
