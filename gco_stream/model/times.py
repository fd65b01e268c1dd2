"""Times as ISO 8601 text: in items, annotations and the metadata of objects."""

import math
from datetime import UTC, datetime, tzinfo
from typing import Final

MAX_EPOCH: Final = 253_402_300_799_999_999
"""Largest epoch of a leader in microseconds since 1970, 9999-12-31T23:59:59.999999Z: Kubernetes' largest MicroTime."""


def parse_time(text: object, *, default_zone: tzinfo | None = UTC) -> datetime | None:
    """Parses an ISO 8601 time. Returns None if it is missing or invalid.

    A time without a time zone is interpreted in `default_zone`, or is invalid if that is None.
    """
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        return None if default_zone is None else time.replace(tzinfo=default_zone)
    return time


def seconds_since(text: object, now: datetime) -> float:
    """Seconds since a time; negative if it is in the future, infinite if it is invalid or lacks a time zone."""
    time = parse_time(text, default_zone=None)
    return math.inf if time is None else (now - time).total_seconds()
