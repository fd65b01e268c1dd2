"""Why an endpoint's key is queued. For logs, metrics and people, and to tell an urgent change from an echo."""

from enum import StrEnum


class Trigger(StrEnum):
    """One value per source of keys."""

    STREAM = "stream"
    CLUSTER = "cluster"
    FIRST_SCAN = "first scan"
    RESYNC = "resync"
    NOT_IN_SCAN = "not in scan"
    NO_ITEM = "no item"
    ALL_REPORTED = "all regions reported"
    APPROVAL = "approval"
    REPORT = "report"
    REQUEUE = "requeue"
    RETRY = "retry"
    RECOVERED = "recovered"
    CONTESTED = "contested"
