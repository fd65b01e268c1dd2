"""The result of one check."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """OK; WARN: the controller works with limitations, or the check was not possible; FAIL: it does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check`: what was checked. `message`: the result. `fix`: a command or advice, "" if the status is OK."""

    check: str
    status: CheckStatus
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """A finding that requires no action."""
    return Finding(check, CheckStatus.OK, message)


def warn(check: str, message: str, fix: str) -> Finding:
    """A finding that does not prevent the controller from working."""
    return Finding(check, CheckStatus.WARN, message, fix)


def fail(check: str, message: str, fix: str) -> Finding:
    """A finding that prevents the controller from working."""
    return Finding(check, CheckStatus.FAIL, message, fix)
