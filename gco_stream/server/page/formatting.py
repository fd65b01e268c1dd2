"""Text formatting for the status page: states, numbers and times. Times are in seconds since 1970."""

from datetime import UTC, datetime
from typing import Final

_TONES: Final = {
    "running": "good",
    "InSync": "good",
    "error": "bad",
    "unreadable": "bad",
    "NotOwned": "bad",
    "failed": "bad",
    "broken": "bad",
    "rejected": "bad",
    "WouldDelete": "bad",
    "stopped": "quiet",
    "deleted": "quiet",
    "elsewhere": "quiet",
    "gone": "quiet",
    "unknown": "quiet",
    "in_sync": "quiet",
    "NotNeeded": "quiet",
    "changed": "good",
}
_RESULTS: Final = {"in_sync": "in sync"}
_KINDS: Final = {"HorizontalPodAutoscaler": "HPA"}


def tone(word: str) -> str:
    """Returns the tone of a state, which determines its colour: good, bad, quiet or busy."""
    return _TONES.get(word, "busy")


def result(word: str) -> str:
    """Returns the display name of a reconcile result."""
    return _RESULTS.get(word, word)


def short_kind(kind: str) -> str:
    """Returns the display name of a kind, for example HPA for HorizontalPodAutoscaler."""
    return _KINDS.get(kind, kind)


def span(seconds: float | None) -> str:
    """Returns a duration as text, for example 12 ms, 1.4 s, 35 s, 12 min, 3 h or 5 d; - if it is unknown."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    for below, unit, text in (
        (0.9995, 0.001, "{:.0f} ms"),
        (9.95, 1, "{:.1f} s"),
        (119.5, 1, "{:.0f} s"),
        (7170, 60, "{:.0f} min"),
        (172_000, 3600, "{:.0f} h"),
    ):
        if seconds < below:
            return text.format(seconds / unit)
    return f"{seconds / 86_400:.0f} d"


def ago(then: float | None, now: float) -> str:
    """Returns the time since `then` as text, for example "35 s ago"; - if `then` is unknown."""
    if then is None:
        return "-"
    seconds = now - then
    return "now" if seconds < 1 else f"{seconds:.0f} s ago" if seconds < 60 else f"{span(seconds)} ago"


def iso(moment: float | None) -> str:
    """Returns a time in ISO 8601 format, "" if it is unknown."""
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def exact(moment: float | None) -> str:
    """Returns the date and time in UTC with milliseconds, for comparison with logs; - if it is unknown."""
    if moment is None:
        return "-"
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def clock(moment: float | None) -> str:
    """Returns the time of day in UTC with milliseconds; - if it is unknown."""
    return "-" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"[:-3]


def number(value: int) -> str:
    """Returns a count with thousands separators, for example 12,345."""
    return f"{value:,}"
