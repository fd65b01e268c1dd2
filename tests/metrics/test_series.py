"""Tests that the number of series is bounded, even with hostile data from the table, the cluster and AWS."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.workqueue.queue import Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model import wire
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import ENDPOINT_STATES, Metrics
from tests.engine.support.controllers import ControllerFixture
from tests.support.items import REGION, item

HOSTILE = ["", "a" * 10_000, 'x"} 1\nfake_metric 1', "\x00", "😀", "{{.}}", "running\n", "RUNNING"]


def series(metrics: Metrics) -> dict[str, float]:
    text = metrics.render().decode()
    families = list(text_string_to_metric_families(text))
    assert "fake_metric" not in {family.name for family in families}
    return {f"{s.name}{sorted(s.labels.items())}": s.value for family in families for s in family.samples}


def test_ten_thousand_endpoints_have_as_many_series_as_one() -> None:
    counted = []
    for size in (1, 10_000):
        metrics, items = Metrics(), ItemCache(REGION)
        for number in range(size):
            items.put(wire.encode(item(f"e-{number}")))
        metrics.endpoints.set(len(items))
        metrics.set_endpoint_states(items.states)
        counted.append(series(metrics))
    assert counted[0].keys() == counted[1].keys()
    assert counted[1]["gco_stream_endpoints_by_state[('state', 'unreported')]"] == 10_000
    assert len(counted[1]) < 400


@pytest.mark.parametrize("text", HOSTILE)
def test_an_unknown_state_is_counted_as_unreported(text: str) -> None:
    items, metrics = ItemCache(REGION), Metrics()
    items.put(wire.encode(item(region_status={REGION: {"state": text}})))
    assert items.states["unreported"] == 1
    known = series(metrics).keys()
    metrics.set_endpoint_states(items.states)
    assert series(metrics).keys() == known


@pytest.mark.parametrize("status", ["text", {REGION: "text"}, {REGION: {"state": 7}}, {REGION: {}}, [], None])
def test_a_malformed_status_is_counted_as_unreported(status: object) -> None:
    items = ItemCache(REGION)
    items.put(wire.encode(item(region_status=status)))
    assert dict(items.states) == {"unreported": 1}


def test_an_endpoint_is_counted_once_when_its_state_changes() -> None:
    items = ItemCache(REGION)
    for state in ("creating", "running", "running"):
        items.put(wire.encode(item(region_status={REGION: {"state": state}})))
    items.put(wire.encode(item("other", target_regions=["mars-1"])))
    assert {state: count for state, count in items.states.items() if count} == {"running": 1, "elsewhere": 1}
    items.remove("chat")
    items.remove("chat")
    assert sum(items.states.values()) == 1
    assert items.states.keys() <= set(ENDPOINT_STATES)


def test_unknown_status_codes_and_methods_do_not_add_series() -> None:
    metrics = Metrics()
    for status in (0, -1, 7, *range(100, 1200), 10**9):
        for method in ("GET", "PATCH", *HOSTILE):
            metrics.api_calls.kubernetes("api:443", method, f"/api/v1/{method}", status, 0.01)
    codes = {line for line in series(metrics) if line.startswith("rest_client_requests_total")}
    assert len({line for line in codes if "'other'" in line}) > 0
    assert len(codes) < 300
    assert any("('code', '<error>')" in line for line in codes)


async def test_distinct_error_messages_do_not_add_series() -> None:
    answers = iter(range(10**6))

    def answer(name: str, _objects_first: bool) -> ReconcileResult:
        error = Cause(Reason.REJECTED, f"{name}: {next(answers)} {HOSTILE[2]}")
        return ReconcileResult(Result.REJECTED, errors=(error,), failure_key=f"key {next(answers)}")

    bench = ControllerFixture(answer)
    known = series(bench.metrics).keys()
    for number in range(300):
        bench.queue.add(f"e-{number}{HOSTILE[2]}", Priority.HIGH, list(Trigger)[number % len(Trigger)])
    await bench.drain()
    after = series(bench.metrics)
    assert after.keys() == known
    assert after["controller_runtime_terminal_reconcile_errors_total[('controller', 'endpoints')]"] == 300
    assert after["gco_stream_reconcile_total[('result', 'rejected')]"] == 300
    assert after["workqueue_queue_duration_seconds_count[('name', 'endpoints')]"] == 300


async def test_a_former_leader_resets_its_metrics() -> None:
    metrics = Metrics()
    fresh = series(metrics)
    queue = WorkQueue(asyncio.get_running_loop().time)
    queue.add("chat", Priority.HIGH, Trigger.STREAM)
    metrics.queue.observe(queue.depth, [3.0], 16)
    metrics.set_mode("poll")
    metrics.set_guard_state("holding")
    metrics.set_endpoint_states({"error": 3})
    metrics.deletions_held.set(3)
    metrics.held_back.labels("removal").set(3)
    metrics.lag.set(9)
    assert series(metrics) != fresh
    metrics.not_leading()
    assert series(metrics) == fresh
