"""Reason codes: why an endpoint is not, or not yet, in its desired state.

A released code must not change, because programs read it from the item (`region_status.<region>.reason`), from Events
and from JSON output. All codes are documented in docs/reasons.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """The reason codes, one per cause."""

    # The item.
    INVALID_ITEM = "InvalidItem"
    INVALID_SPEC = "InvalidSpec"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NAMESPACE_CHANGED = "NamespaceChanged"
    UNKNOWN_METRIC = "UnknownMetric"
    UNKNOWN_FIELD = "UnknownField"
    VALUE_IGNORED = "ValueIgnored"
    VALUE_ROUNDED = "ValueRounded"
    REGION_IMAGE_STALE = "RegionImageStale"
    INGRESS_PATH_CONFLICT = "IngressPathConflict"
    HELD = "Held"
    # The cluster.
    OBJECT_NOT_OWNED = "ObjectNotOwned"
    SELECTOR_IMMUTABLE = "SelectorImmutable"
    CONTESTED = "Contested"
    DEPLOYMENT_PAUSED = "DeploymentPaused"
    PODS_REJECTED = "PodsRejected"
    ROLLOUT_STALLED = "RolloutStalled"
    DELETION_BLOCKED = "DeletionBlocked"
    INGRESS_WITHDRAWN = "IngressWithdrawn"
    LOAD_BALANCER_UNHEALTHY = "LoadBalancerUnhealthy"
    PODS_UNKNOWN = "PodsUnknown"
    # Limits on the whole fleet.
    WITHDRAWAL_LIMIT_REACHED = "WithdrawalLimitReached"
    REMOVAL_LIMIT_REACHED = "RemovalLimitReached"
    TABLE_EMPTY = "TableEmpty"
    TABLE_RECREATED = "TableRecreated"
    LIMITS_UNKNOWN = "LimitsUnknown"
    # The API server.
    FORBIDDEN = "Forbidden"
    REJECTED = "Rejected"
    API_ERROR = "APIError"
    NAMESPACE_UNREADABLE = "NamespaceUnreadable"
    # This controller.
    TABLE_ERROR = "TableError"
    ITEM_TOO_LARGE = "ItemTooLarge"
    NOT_CONVERGING = "NotConverging"
    INTERNAL_ERROR = "InternalError"
    # No error, but the endpoint is not yet in its desired state.
    OUT_OF_SYNC = "OutOfSync"
    PROGRESSING = "Progressing"
    CANARY_NOT_READY = "CanaryNotReady"
    NOT_REPORTED = "NotReported"
    OUTDATED_REPORT = "OutdatedReport"


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason code for programs and a message for people.

    A reported message must not contain times or counters, because every change of a report is written to the table.
    """

    reason: Reason
    message: str

    def __str__(self) -> str:
        return self.message


ROUTE_REASONS: Final = frozenset(
    {
        Reason.INGRESS_WITHDRAWN,
        Reason.LOAD_BALANCER_UNHEALTHY,
        Reason.WITHDRAWAL_LIMIT_REACHED,
        Reason.INGRESS_PATH_CONFLICT,
    }
)
"""The reasons that affect only the Ingress."""

REFUSED_REASONS: Final = frozenset({Reason.FORBIDDEN, Reason.REJECTED, Reason.API_ERROR})
"""Reasons reported if the API server did not accept a step."""

# Releases without reason codes reported a withdrawn Ingress with only this message.
_MESSAGES_WITHOUT_REASON: Final[Mapping[str, Reason]] = MappingProxyType(
    {"no replica is ready, and the Ingress is away until one is": Reason.INGRESS_WITHDRAWN}
)


def reason_of_report(reason: str, error: str) -> str:
    """Returns the reason code of a stored report; "" if it has none.

    Earlier releases reported only a message. The message about a withdrawn Ingress is mapped to its code, because the
    watchdog depends on it.
    """
    return reason or _MESSAGES_WITHOUT_REASON.get(error, "")
