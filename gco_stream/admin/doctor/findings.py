"""Findings: the results of checks, with advice on how to fix a problem."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """The status of a check.

    WARN: the problem limits the controller, or the check was not possible. FAIL: the problem prevents the controller
    from working.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. `check`: what was checked. `fix`: a command or advice, "" if the status is OK."""

    check: str
    status: CheckStatus
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """Returns a finding that requires no action."""
    return Finding(check, CheckStatus.OK, message)


def warn(check: str, message: str, fix: str) -> Finding:
    """Returns a finding about a problem that does not prevent the controller from working."""
    return Finding(check, CheckStatus.WARN, message, fix)


def fail(check: str, message: str, fix: str) -> Finding:
    """Returns a finding about a problem that prevents the controller from working."""
    return Finding(check, CheckStatus.FAIL, message, fix)
