"""What the doctor says of one thing."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """fine; doubtful: the controller works, but not as well as it could, or it could not be found out; wrong: it does
    not work.
    """

    PASSED = "fine"
    WARNING = "doubtful"
    FAILED = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` in a word or two, what was found, and for whatever is not fine what mends it: a command, or advice."""

    subject: str
    status: CheckStatus
    message: str
    fix: str = ""


def passed(subject: str, message: str) -> Finding:
    """Nothing has to be done about it."""
    return Finding(subject, CheckStatus.PASSED, message)


def warning(subject: str, message: str, fix: str) -> Finding:
    """The controller works all the same."""
    return Finding(subject, CheckStatus.WARNING, message, fix)


def failed(subject: str, message: str, fix: str) -> Finding:
    """The controller does not work until it is mended."""
    return Finding(subject, CheckStatus.FAILED, message, fix)
