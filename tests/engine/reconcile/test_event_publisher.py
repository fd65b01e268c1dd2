"""The Events that a reconcile is worth: which reason, and one Event for one cause."""

import pytest

from gco_stream.engine.reconcile.event_publisher import EventPublisher
from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.plan import Delete, Plan, Report, StepEvent
from tests.engine.deletion.test_orphan_tracker import Cluster
from tests.support.simulated_cluster import NAMESPACE

INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
LIMIT = Cause(Reason.WITHDRAWAL_LIMIT_REACHED, "half of the endpoints are in this state")


class PublishedEvents:
    """What is told of an endpoint that exists."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.publisher = EventPublisher(
            lambda _ref, _uid, kind, reason, message: self.events.append((kind, reason, message)),
            Cluster("chat"),  # type: ignore[arg-type]
        )

    def of(self, outcome: ReconcileResult) -> list[tuple[str, str, str]]:
        self.events.clear()
        self.publisher.publish("chat", outcome)
        return list(self.events)


def reported(*causes: Cause, warnings: tuple[Cause, ...] = (), steps: tuple[Delete, ...] = ()) -> ReconcileResult:
    plan = Plan("chat", report=Report.of(RegionState.ERROR, causes), warnings=warnings)
    return ReconcileResult(Result.IN_SYNC, steps, plan=plan)


@pytest.mark.parametrize("reason", list(Reason))
def test_an_event_has_the_reason_of_its_cause(reason: Reason) -> None:
    heard = PublishedEvents()
    assert heard.of(reported(Cause(reason, "why"))) == [("Warning", reason, "why")]
    failed = ReconcileResult(Result.FAILED, errors=(Cause(reason, "not done"),))
    assert heard.of(failed) == [("Warning", reason, "not done")]


def test_a_warning_that_is_the_error_too_is_one_event_and_no_news_the_second_time() -> None:
    heard = PublishedEvents()
    assert heard.of(reported(LIMIT, warnings=(LIMIT,))) == [("Warning", "WithdrawalLimitReached", LIMIT.message)]
    warned = ReconcileResult(Result.IN_SYNC, plan=Plan("chat", warnings=(LIMIT,)))
    assert heard.of(warned) == []


def test_a_withdrawal_is_one_event_of_its_reason() -> None:
    event = StepEvent("IngressWithdrawn", "no replica has been ready for 300 s")
    step = Delete(INGRESS, "uid", "why", withdraws=True, event=event)
    withdrawn = Cause(Reason.INGRESS_WITHDRAWN, "no ready replicas")
    assert PublishedEvents().of(reported(withdrawn, steps=(step,))) == [("Warning", "IngressWithdrawn", event.message)]
    assert PublishedEvents().of(reported(withdrawn)) == [("Warning", "IngressWithdrawn", withdrawn.message)]


def test_an_endpoint_of_which_nothing_exists_has_no_event() -> None:
    heard = PublishedEvents()
    heard.publisher.publish("another", reported(Cause(Reason.INVALID_SPEC, "why")))
    assert heard.events == []


def test_the_event_of_a_deletion_is_about_the_deleted_object_if_nothing_is_left() -> None:
    heard = PublishedEvents()
    step = Delete(INGRESS, "uid", "why", spends_budget=True, event=StepEvent("Orphaned", "its objects are deleted"))
    heard.publisher.publish("another", ReconcileResult(Result.GONE, (step,)))
    assert heard.events == [("Warning", "Orphaned", "its objects are deleted")]
