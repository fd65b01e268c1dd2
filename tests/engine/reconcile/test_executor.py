"""What a failed step blocks: its own part of its own endpoint, for as long as necessary, and nothing else."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gco_stream.aws.errors import Fenced, ItemNotFound
from gco_stream.cluster.api.errors import ClusterError, Conflict, NotLeading, Rejected, Unreachable
from gco_stream.engine.reconcile.endpoint_planner import unsynced_reason
from gco_stream.engine.reconcile.executor import ExecutionResult, PlanExecutor
from gco_stream.engine.reconcile.reconciler import Result as Ended
from gco_stream.model import wire
from gco_stream.model.objects import JsonObject, Kind, Observed
from gco_stream.model.reasons import Reason
from gco_stream.model.wire import WireItem
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Create, Part, Step
from tests.engine.support.reconcilers import ReconcilerFixture
from tests.support.items import REGION, endpoint
from tests.support.simulated_cluster import CANARY, POLICY, SCALED, SimulatedCluster, running


class Server:
    """A writer that accepts every create that the test does not reject."""

    def __init__(self, refused: Callable[[str], ClusterError | None]) -> None:
        self.refused = refused
        self.asked: list[str] = []

    async def create(self, manifest: JsonObject) -> None:
        what = f"{manifest['kind']}/{manifest['metadata']['name']}"
        self.asked.append(what)
        if (error := self.refused(what)) is not None:
            raise error


async def executed(server: Server) -> ExecutionResult:
    """Executes a plan that creates all objects of an endpoint with a canary, except for its ready Deployment."""
    cluster, asked = running({**CANARY, **SCALED})
    kept = {ref: obj for ref, obj in cluster.objects.items() if (ref.kind, ref.name) == (Kind.DEPLOYMENT, "chat")}
    plan = plan_endpoint(PlanInputs("chat", asked, Observed(kept), FleetState(), cluster.now, POLICY))
    assert {step.part for step in plan.steps} == {Part.MAIN, Part.ROUTE, Part.CANARY}
    assert all(isinstance(step, Create) for step in plan.steps)
    return await PlanExecutor(server, lambda _: None).execute(plan)  # type: ignore[arg-type]  # a fake with only the methods that are called


def names(steps: list[Step]) -> set[str]:
    return {f"{step.ref.kind}/{step.ref.name}" for step in steps}


@pytest.mark.parametrize("error", [Rejected(422, "Invalid", "wrong"), Unreachable(0, "Unreachable", "no answer")])
async def test_a_failed_step_blocks_only_its_own_part(error: ClusterError) -> None:
    result = await executed(Server(lambda what: error if what == "Service/chat-canary" else None))
    assert names(result.done) == {"Service/chat", "Ingress/inference-chat", "HorizontalPodAutoscaler/chat"}
    assert [failure.step.part for failure in result.failures] == [Part.CANARY]
    result = await executed(Server(lambda what: error if what == "Service/chat" else None))
    assert names(result.done) == {"Ingress/inference-chat", "Service/chat-canary", "Deployment/chat-canary"}
    assert [failure.step.part for failure in result.failures] == [Part.MAIN]


async def test_a_stale_step_blocks_all_later_steps() -> None:
    conflict = Conflict(409, "AlreadyExists", "it exists")
    server = Server(lambda what: conflict if what == "Service/chat" else None)
    result = await executed(server)
    assert (result.done, server.asked) == ([], ["Service/chat"])
    assert [failure.stale for failure in result.failures] == [True]


async def test_a_rejected_step_is_retried_after_30_seconds_then_at_growing_intervals() -> None:
    clock = [0.0]
    refused: ClusterError | None = Rejected(403, "Forbidden", "denied by a policy")
    server = Server(lambda what: refused if what == "Service/chat" else None)
    executor = PlanExecutor(server, lambda _: None, clock=lambda: clock[0])  # type: ignore[arg-type]  # a fake with only the methods that are called
    plan = plan_endpoint(
        PlanInputs("chat", endpoint("chat"), Observed({}), FleetState(), SimulatedCluster().now, POLICY)
    )
    plan = replace(plan, steps=plan.steps[:1])
    tried = []
    for second in range(0, 1000, 10):
        clock[0], before = float(second), len(server.asked)
        (failure,) = (await executor.execute(plan)).failures
        assert failure.final
        assert failure.requeue_after is not None
        if len(server.asked) > before:
            tried.append(second)
        assert second + failure.requeue_after.after > second
    assert tried == [0, 30, 90, 210, 450, 930]
    refused = None
    clock[0] += 2000
    assert (await executor.execute(plan)).failures == []


async def test_execution_stops_at_once_when_this_process_no_longer_leads() -> None:
    server = Server(lambda _: NotLeading(0, "NotLeading", "the lease is not proven any more"))
    with pytest.raises(NotLeading):
        await executed(server)
    assert len(server.asked) == 1


def test_an_unreadable_namespace_blocks_no_other() -> None:
    unsynced = {"closed": "forbidden"}
    assert unsynced_reason(endpoint("chat", namespace="open"), unsynced, POLICY) == ""
    assert unsynced_reason(endpoint("chat", namespace="closed"), unsynced, POLICY) == "namespace closed: forbidden"
    assert unsynced_reason(endpoint("chat", namespace=None), unsynced, POLICY) == ""


async def test_an_item_that_changes_faster_than_it_is_read_frees_its_worker() -> None:
    bench = ReconcilerFixture()

    async def gone_and_there_again(name: str, *_: object) -> WireItem:
        raise ItemNotFound(f"{name}: item does not exist")

    bench.write_status = gone_and_there_again  # type: ignore[assignment]  # replaces a method
    bench.put("chat", target_regions=["us-east-1"], spec={"image": ""})
    async with asyncio.timeout(5):
        (outcome,) = await bench.run("chat")
    assert outcome.result is Ended.FAILED
    assert [error.reason for error in outcome.errors] == [Reason.NOT_CONVERGING]
    assert len(bench.happened) > 1


async def test_a_leader_that_finds_a_higher_epoch_raises_its_own_and_reports() -> None:
    bench = ReconcilerFixture()
    accept, stored = bench.write_status, 1_000

    async def fenced(name: str, region: str, status: dict[str, Any], epoch: int) -> WireItem:
        if epoch <= stored:
            raise Fenced(f"{name}: status of {region} is superseded: its epoch is {stored}", stored)
        return await accept(name, region, status, epoch)

    async def raised(above: int) -> int:
        bench.epoch = above + 1
        return bench.epoch

    bench.write_status, bench.raise_epoch = fenced, raised  # type: ignore[method-assign]  # replaces methods
    bench.put("chat", spec={"image": ""})
    (outcome,) = await bench.run("chat")
    assert outcome.result is Ended.IN_SYNC
    report = wire.decode(bench.items["chat"])["region_status"][REGION]
    assert (report["state"], report["epoch"]) == ("error", stored + 1)
