"""What is done where a namespace cannot be seen."""

from dataclasses import replace

from gco_stream.engine.reconcile.reconciler import Result
from gco_stream.model import wire
from gco_stream.model.reasons import Reason
from tests.engine.deletion.test_removal import ReconcilerFixture
from tests.support.simulated_cluster import NAMESPACE, POLICY


def bench_without_sight_of(namespace: str) -> ReconcilerFixture:
    bench = ReconcilerFixture("chat", policy=replace(POLICY, namespaces=(NAMESPACE, "other")))
    bench.cluster.unsynced = {namespace: "forbidden"}
    return bench


async def test_a_namespace_that_cannot_be_seen_keeps_no_deletion_in_another_up_but_nothing_is_said_to_be_gone() -> None:
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


async def test_what_stands_where_nothing_can_be_seen_is_left_alone() -> None:
    bench = bench_without_sight_of(NAMESPACE)
    bench.put("chat", desired_state="deleted")
    await bench.run("chat")
    assert not bench.deleted
