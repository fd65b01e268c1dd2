"""The reasons for which an endpoint's key is queued.

They are logged and shown on the status page, and they distinguish urgent changes from echoes of our own writes.
"""

from enum import StrEnum


class Trigger(StrEnum):
    """The reason for which a key is queued."""

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
    INGRESS_PATH = "ingress path"
