"""Reports to the item: their reasons, and their order relative to the steps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gco_stream.aws.errors import Unreachable
from gco_stream.cluster.api.errors import Unreachable as ServerUnreachable
from gco_stream.engine.reconcile.executor import ExecutionResult as Steps
from gco_stream.engine.reconcile.executor import StepFailure
from gco_stream.engine.reconcile.reconciler import Result
from gco_stream.model import names, wire
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Apply
from tests.engine.support.reconcilers import ReconcilerFixture
from tests.support.items import REGION
from tests.support.simulated_cluster import NAMESPACE, POLICY

INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
DEPLOYMENT = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")


class ReportingFixture(ReconcilerFixture):
    """A bench that also records reports and applies annotations."""

    async def write_status(self, name: str, region: str, status: dict[str, Any], epoch: int) -> wire.WireItem:
        if self.away:
            raise Unreachable("away", "Timeout")
        self.happened.append(f"report {status['state']}, {status.get('reason', 'no reason')}")
        return await super().write_status(name, region, status, epoch)

    async def execute(self, plan: Plan) -> Steps:
        for step in plan.steps:
            if not isinstance(step, Apply):
                return await super().execute(plan)
            self.happened.append(f"apply {step.ref.kind} of {plan.endpoint}")
            before = self.cluster.objects[step.ref]
            annotations = {**before.annotations, **step.manifest["metadata"]["annotations"]}
            self.cluster.objects[step.ref] = replace(before, annotations=annotations)
        return Steps(done=list(plan.steps))

    def report(self, name: str = "chat") -> dict[str, Any]:
        status: dict[str, Any] = wire.decode(self.items[name])["region_status"][REGION]
        return status


class FailingFixture(ReportingFixture):
    """A bench whose API server does not respond to any step."""

    async def execute(self, plan: Plan) -> Steps:
        return Steps(failures=[StepFailure(plan.steps[0], ServerUnreachable(0, "", "no response"))])


def unready(state: str, *, has_clock: bool = True) -> ReportingFixture:
    """An endpoint that reported this state and has no ready replica.

    `has_clock`: its Ingress has the annotation, so it has been unready for the whole threshold.
    """
    bench = ReportingFixture("chat")
    now = datetime.fromtimestamp(bench.parts.clock.now, UTC)
    since = (now - timedelta(seconds=POLICY.unhealthy_threshold)).isoformat()
    objects = bench.cluster.objects
    if has_clock:
        annotations = {**objects[INGRESS].annotations, names.UNREADY_SINCE_ANNOTATION: since}
        objects[INGRESS] = replace(objects[INGRESS], annotations=annotations)
    objects[DEPLOYMENT] = replace(objects[DEPLOYMENT], status={"observedGeneration": 1, "replicas": 1})
    bench.put("chat", region_status={REGION: {"state": state, "last_sync": now.isoformat()}})
    return bench


async def test_an_error_is_written_once_with_its_reason() -> None:
    bench = ReportingFixture()
    bench.put("chat", spec={"image": ""})
    for _ in range(3):
        (outcome,) = await bench.run("chat")
        assert outcome.result is Result.IN_SYNC
    assert bench.happened == ["report error, InvalidSpec"]
    assert (bench.report()["state"], bench.report()["reason"]) == ("error", Reason.INVALID_SPEC)
    assert "spec.image" in bench.report()["error"]


async def test_a_report_that_was_written_without_a_reason_gets_one() -> None:
    bench = ReportingFixture()
    bench.put("chat", spec={"image": ""})
    await bench.run("chat")
    before = bench.report()
    bench.put("chat", spec={"image": ""}, region_status={REGION: {k: v for k, v in before.items() if k != "reason"}})
    for _ in range(2):
        await bench.run("chat")
    assert bench.happened == ["report error, InvalidSpec"] * 2
    assert bench.report()["reason"] == before["reason"]


async def test_a_report_without_an_error_has_neither_message_nor_reason() -> None:
    bench = ReportingFixture("chat")
    bench.put("chat")
    await bench.run("chat")
    assert bench.happened == ["report running, no reason"]
    assert not {"error", "reason"} & bench.report().keys()


async def test_a_temporary_failure_is_reported_after_the_third_attempt() -> None:
    bench = FailingFixture()
    bench.put("chat")
    for failures, expected in enumerate(([], [], ["report error, APIError"])):
        bench.failures = failures
        (outcome,) = await bench.run("chat")
        assert outcome.result is Result.FAILED
        assert bench.happened == expected
    assert "no response" in bench.report()["error"]


async def test_a_withdrawal_before_the_first_run_is_reported_before_the_ingress_is_deleted() -> None:
    bench = unready("creating")
    await bench.run("chat")
    assert bench.happened == ["report error, IngressWithdrawn", "delete Ingress of chat, unrecorded"]


async def test_a_withdrawal_after_the_first_run_is_reported_after_the_ingress_is_deleted() -> None:
    bench = unready("running")
    await bench.run("chat")
    assert bench.happened == ["delete Ingress of chat, unrecorded", "report error, IngressWithdrawn"]


@pytest.mark.parametrize("state", ["creating", "running"])
async def test_an_ingress_without_a_clock_gets_one_and_the_whole_threshold(state: str) -> None:
    bench = unready(state, has_clock=False)
    await bench.run("chat")
    assert bench.happened[0] == "apply Ingress of chat"
    bench.parts.clock.now += POLICY.unhealthy_threshold - 1
    await bench.run("chat")
    assert bench.deleted == []
    bench.parts.clock.now += 1
    await bench.run("chat")
    assert bench.deleted == ["delete Ingress of chat, unrecorded"]


@pytest.mark.parametrize(("state", "stays"), [("creating", True), ("running", False)])
async def test_without_the_table_only_an_ingress_whose_endpoint_ran_is_withdrawn(state: str, stays: bool) -> None:
    bench = unready(state)
    bench.away = True
    with pytest.raises(Unreachable):
        await bench.run("chat")
    assert (INGRESS in bench.cluster.objects) is stays
