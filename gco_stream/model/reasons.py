"""Reason codes: why an endpoint is not, or not yet, in its desired state.

Machines read the reason, people read the message beside it. A code is stable once released: it is written to the item
(`region_status.<region>.reason`), into Events and JSON output, and documented in docs/reasons.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """One code per cause."""

    # The item.
    INVALID_ITEM = "InvalidItem"
    INVALID_SPEC = "InvalidSpec"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NAMESPACE_CHANGED = "NamespaceChanged"
    UNKNOWN_METRIC = "UnknownMetric"
    HELD = "Held"
    # The cluster.
    OBJECT_NOT_OWNED = "ObjectNotOwned"
    SELECTOR_IMMUTABLE = "SelectorImmutable"
    CONTESTED = "Contested"
    DEPLOYMENT_PAUSED = "DeploymentPaused"
    DELETION_BLOCKED = "DeletionBlocked"
    INGRESS_WITHDRAWN = "IngressWithdrawn"
    LOAD_BALANCER_UNHEALTHY = "LoadBalancerUnhealthy"
    PODS_UNKNOWN = "PodsUnknown"
    # Limits on the whole fleet.
    WITHDRAWAL_LIMIT_REACHED = "WithdrawalLimitReached"
    REMOVAL_LIMIT_REACHED = "RemovalLimitReached"
    TABLE_EMPTY = "TableEmpty"
    LIMITS_UNKNOWN = "LimitsUnknown"
    # The API server.
    FORBIDDEN = "Forbidden"
    REJECTED = "Rejected"
    API_ERROR = "APIError"
    NAMESPACE_UNREADABLE = "NamespaceUnreadable"
    # This program.
    TABLE_ERROR = "TableError"
    NOT_CONVERGING = "NotConverging"
    INTERNAL_ERROR = "InternalError"
    # Nothing is wrong, but the endpoint is not there yet.
    OUT_OF_SYNC = "OutOfSync"
    PROGRESSING = "Progressing"
    CANARY_NOT_READY = "CanaryNotReady"
    NOT_REPORTED = "NotReported"
    OUTDATED_REPORT = "OutdatedReport"


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason for machines and a message for people. The message holds no times and no counters, so that the same
    cause reads the same each time.
    """

    reason: Reason
    message: str

    def __str__(self) -> str:
        return self.message


ROUTE_REASONS: Final = frozenset(
    {Reason.INGRESS_WITHDRAWN, Reason.LOAD_BALANCER_UNHEALTHY, Reason.WITHDRAWAL_LIMIT_REACHED}
)
"""The watchdog's reasons: they concern the Ingress alone."""

REFUSED_REASONS: Final = frozenset({Reason.FORBIDDEN, Reason.REJECTED, Reason.API_ERROR})
"""What a region reports once the API server has not accepted a step."""

# Releases without reason codes reported a withdrawn Ingress by this message alone.
_MESSAGES_WITHOUT_REASON: Final[Mapping[str, Reason]] = MappingProxyType(
    {"no replica is ready, and the Ingress is away until one is": Reason.INGRESS_WITHDRAWN}
)


def reason_of_report(reason: str, error: str) -> str:
    """The reason code of a stored report, "" where it has none.

    Releases before reason codes wrote a message alone. The one among them that a decision depends on is recognized as
    a whole message.
    """
    return reason or _MESSAGES_WITHOUT_REASON.get(error, "")
