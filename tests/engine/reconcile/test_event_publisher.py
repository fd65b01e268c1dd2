"""The Events of a reconcile: their reasons, and one Event per cause."""

import pytest

from gco_stream.engine.reconcile.event_publisher import EventPublisher
from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.plan import Plan, Report
from gco_stream.planning.types.steps import Delete, StepEvent
from tests.engine.support.orphans import Cluster
from tests.support.simulated_cluster import NAMESPACE

INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
LIMIT = Cause(Reason.WITHDRAWAL_LIMIT_REACHED, "half of the endpoints are in this state")


class Emitted:
    """The Events of an endpoint with live objects."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.news = EventPublisher(
            lambda _ref, _uid, kind, reason, message: self.events.append((kind, reason, message)),
            Cluster("chat"),  # type: ignore[arg-type]  # a fake with only the methods that are called
        )

    def of(self, outcome: ReconcileResult) -> list[tuple[str, str, str]]:
        self.events.clear()
        self.news.publish("chat", outcome)
        return list(self.events)


def reported(*causes: Cause, warnings: tuple[Cause, ...] = (), steps: tuple[Delete, ...] = ()) -> ReconcileResult:
    plan = Plan("chat", report=Report.of(RegionState.ERROR, causes), warnings=warnings)
    return ReconcileResult(Result.IN_SYNC, steps, plan=plan)


@pytest.mark.parametrize("reason", list(Reason))
def test_an_event_has_the_reason_of_its_cause(reason: Reason) -> None:
    emitted = Emitted()
    assert emitted.of(reported(Cause(reason, "why"))) == [("Warning", reason, "why")]
    failed = ReconcileResult(Result.FAILED, errors=(Cause(reason, "not done"),))
    assert emitted.of(failed) == [("Warning", reason, "not done")]


def test_a_warning_that_is_also_the_error_is_one_event_and_is_not_repeated() -> None:
    emitted = Emitted()
    assert emitted.of(reported(LIMIT, warnings=(LIMIT,))) == [("Warning", "WithdrawalLimitReached", LIMIT.message)]
    warned = ReconcileResult(Result.IN_SYNC, plan=Plan("chat", warnings=(LIMIT,)))
    assert emitted.of(warned) == []


def test_a_withdrawal_is_one_event_with_its_reason() -> None:
    event = StepEvent("IngressWithdrawn", "no replica has been ready for 300 s")
    step = Delete(INGRESS, "why", event=event, uid="uid", withdraws=True)
    withdrawn = Cause(Reason.INGRESS_WITHDRAWN, "no ready replicas")
    assert Emitted().of(reported(withdrawn, steps=(step,))) == [("Warning", "IngressWithdrawn", event.message)]
    assert Emitted().of(reported(withdrawn)) == [("Warning", "IngressWithdrawn", withdrawn.message)]


def test_an_endpoint_without_objects_has_no_event() -> None:
    emitted = Emitted()
    emitted.news.publish("another", reported(Cause(Reason.INVALID_SPEC, "why")))
    assert emitted.events == []


def test_the_event_of_a_deletion_is_about_the_deleted_object_if_nothing_is_left() -> None:
    emitted = Emitted()
    step = Delete(INGRESS, "why", event=StepEvent("Orphaned", "its objects are deleted"), uid="uid", spends_budget=True)
    emitted.news.publish("another", ReconcileResult(Result.GONE, (step,)))
    assert emitted.events == [("Warning", "Orphaned", "its objects are deleted")]
