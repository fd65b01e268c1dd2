"""The Events that a reconcile is worth: which reason, and one Event for one cause."""

import pytest

from gco_stream.engine.reconcile.event_publisher import News
from gco_stream.engine.reconcile.reconciler import Outcome, Result
from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.plan import Delete, Plan, Report, Tell
from tests.engine.deletion.test_orphan_tracker import Cluster
from tests.support.simulated_cluster import NAMESPACE

INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
LIMIT = Cause(Reason.WITHDRAWAL_LIMIT_REACHED, "half of the endpoints are in this state")


class Heard:
    """What is told of an endpoint that exists."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.news = News(
            lambda _ref, _uid, kind, reason, message: self.events.append((kind, reason, message)),
            Cluster("chat"),  # type: ignore[arg-type]
        )

    def of(self, outcome: Outcome) -> list[tuple[str, str, str]]:
        self.events.clear()
        self.news.tell("chat", outcome)
        return list(self.events)


def reported(*causes: Cause, warnings: tuple[Cause, ...] = (), steps: tuple[Delete, ...] = ()) -> Outcome:
    made = Plan("chat", report=Report.of(RegionState.ERROR, causes), warnings=warnings)
    return Outcome(Result.IN_SYNC, steps, made=made)


@pytest.mark.parametrize("reason", list(Reason))
def test_an_event_has_the_reason_of_its_cause(reason: Reason) -> None:
    heard = Heard()
    assert heard.of(reported(Cause(reason, "why"))) == [("Warning", reason, "why")]
    failed = Outcome(Result.FAILED, errors=(Cause(reason, "not done"),))
    assert heard.of(failed) == [("Warning", reason, "not done")]


def test_a_warning_that_is_the_error_too_is_one_event_and_no_news_the_second_time() -> None:
    heard = Heard()
    assert heard.of(reported(LIMIT, warnings=(LIMIT,))) == [("Warning", "WithdrawalLimitReached", LIMIT.message)]
    warned = Outcome(Result.IN_SYNC, made=Plan("chat", warnings=(LIMIT,)))
    assert heard.of(warned) == []


def test_a_withdrawal_is_one_event_of_its_reason() -> None:
    tell = Tell("IngressWithdrawn", "no replica has been ready for 300 s")
    step = Delete(INGRESS, "uid", "why", withdraws=True, tell=tell)
    withdrawn = Cause(Reason.INGRESS_WITHDRAWN, "no ready replicas")
    assert Heard().of(reported(withdrawn, steps=(step,))) == [("Warning", "IngressWithdrawn", tell.message)]
    assert Heard().of(reported(withdrawn)) == [("Warning", "IngressWithdrawn", withdrawn.message)]


def test_an_endpoint_of_which_nothing_exists_has_no_event() -> None:
    heard = Heard()
    heard.news.tell("another", reported(Cause(Reason.INVALID_SPEC, "why")))
    assert heard.events == []


def test_the_event_of_a_deletion_is_about_the_deleted_object_if_nothing_is_left() -> None:
    heard = Heard()
    step = Delete(INGRESS, "uid", "why", spends_budget=True, tell=Tell("Orphaned", "its objects are deleted"))
    heard.news.tell("another", Outcome(Result.GONE, (step,)))
    assert heard.events == [("Warning", "Orphaned", "its objects are deleted")]
