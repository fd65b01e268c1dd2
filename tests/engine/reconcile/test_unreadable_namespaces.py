"""Reconciles while a namespace cannot be read."""

from dataclasses import replace

from gco_stream.engine.reconcile.reconciler import Result
from gco_stream.model import wire
from gco_stream.model.reasons import Reason
from tests.engine.support.reconcilers import ReconcilerFixture
from tests.support.simulated_cluster import NAMESPACE, POLICY


def bench_without_sight_of(namespace: str) -> ReconcilerFixture:
    bench = ReconcilerFixture("chat", policy=replace(POLICY, namespaces=(NAMESPACE, "other")))
    bench.cluster.unsynced = {namespace: "forbidden"}
    return bench


async def test_an_unreadable_namespace_blocks_the_deleted_report_but_no_other_deletion() -> None:
    bench = bench_without_sight_of("other")
    bench.put("chat", desired_state="deleted")
    (outcome,) = await bench.run("chat")
    assert bench.deleted
    assert outcome.result is Result.FAILED
    (error,) = outcome.errors
    assert error.reason is Reason.NAMESPACE_UNREADABLE
    assert "namespace other: forbidden" in error.message
    report = wire.decode(bench.items["chat"])["region_status"][POLICY.region]
    assert (report["state"], report["reason"], report["error"]) == ("error", error.reason, error.message)


async def test_objects_in_an_unreadable_namespace_are_left_unchanged() -> None:
    bench = bench_without_sight_of(NAMESPACE)
    bench.put("chat", desired_state="deleted")
    await bench.run("chat")
    assert not bench.deleted
