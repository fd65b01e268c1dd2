"""Reason codes of stored reports: what this release writes, what earlier ones wrote, what later ones may write."""

import pytest

from gco_stream.model.item.endpoint import RegionState, RegionStatus
from gco_stream.model.reasons import REFUSED_REASONS, ROUTE_REASONS, Cause, Reason, reason_of_report
from tests.support.items import REGION, endpoint

WITHDRAWN_BEFORE_REASONS = "no replica is ready, and the Ingress is away until one is"


def stored(**entry: object) -> RegionStatus:
    """This region's report as it is read from an item."""
    return endpoint(region_status={REGION: {"state": "error", **entry}}).region_status[REGION]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_code_is_one_camel_case_word_and_is_read_back(reason: Reason) -> None:
    assert reason.value.isalpha()
    assert reason.value[0].isupper()
    assert not reason.value.isupper()
    assert stored(reason=str(reason), error="why").reason == reason


def test_codes_are_stable() -> None:
    # They are in items, Events and other people's scripts: one may be added, none renamed or removed.
    assert {
        "InvalidItem",
        "InvalidSpec",
        "NamespaceNotAllowed",
        "NamespaceChanged",
        "UnknownMetric",
        "Held",
        "ObjectNotOwned",
        "SelectorImmutable",
        "Contested",
        "DeploymentPaused",
        "DeletionBlocked",
        "IngressWithdrawn",
        "LoadBalancerUnhealthy",
        "PodsUnknown",
        "WithdrawalLimitReached",
        "RemovalLimitReached",
        "TableEmpty",
        "LimitsUnknown",
        "Forbidden",
        "Rejected",
        "APIError",
        "NamespaceUnreadable",
        "TableError",
        "NotConverging",
        "InternalError",
        "OutOfSync",
        "Progressing",
        "CanaryNotReady",
        "NotReported",
        "OutdatedReport",
    } <= set(Reason)


def test_a_withdrawn_ingress_that_the_version_before_reported_is_recognized() -> None:
    assert reason_of_report("", WITHDRAWN_BEFORE_REASONS) == Reason.INGRESS_WITHDRAWN
    assert stored(error=WITHDRAWN_BEFORE_REASONS).reason == Reason.INGRESS_WITHDRAWN


@pytest.mark.parametrize(
    "error",
    [
        "",
        "no replica is ready",
        f"the canary is not ready; {WITHDRAWN_BEFORE_REASONS}",
        f"{WITHDRAWN_BEFORE_REASONS} ",
        WITHDRAWN_BEFORE_REASONS.upper(),
    ],
)
def test_no_other_message_gives_a_reason(error: str) -> None:
    assert reason_of_report("", error) == ""
    assert stored(error=error).reason == ""


def test_a_stored_reason_outweighs_the_message() -> None:
    assert stored(reason="Rejected", error=WITHDRAWN_BEFORE_REASONS).reason == Reason.REJECTED


def test_a_reason_of_a_later_release_is_kept() -> None:
    found = stored(reason="ReasonOfALaterRelease", error="something new")
    assert found.reason == "ReasonOfALaterRelease"
    assert (found.state, found.error) == (RegionState.ERROR, "something new")


def test_a_report_without_an_error_has_no_reason() -> None:
    assert endpoint(region_status={REGION: {"state": "running"}}).region_status[REGION].reason == ""


def test_a_copy_of_a_report_keeps_its_reason() -> None:
    found = stored(error=WITHDRAWN_BEFORE_REASONS)
    assert found.model_copy(update={"replicas_ready": 1}).reason == Reason.INGRESS_WITHDRAWN
    assert RegionStatus.model_validate(found.model_dump()) == found


def test_a_cause_is_shown_by_its_message() -> None:
    assert str(Cause(Reason.REJECTED, "denied")) == "denied"


def test_what_concerns_the_ingress_alone_is_not_what_the_api_server_refused() -> None:
    assert not ROUTE_REASONS & REFUSED_REASONS
